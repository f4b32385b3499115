package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"latchkey/authserver/internal/tenant"
)

// Rows are a tenant's rows, all of them.
type Rows interface {
	// ExportTenant calls row for each row of the tenant, table by table, without
	// secrets and sealed values.
	ExportTenant(ctx context.Context, t tenant.ID, row func(table string, columns json.RawMessage) error) error
	// EraseTenant deletes every row of a suspended tenant, its wrapped keys first:
	// from then on what is left opens for nobody. Interrupted, it is called again.
	// It returns ErrNotSuspended, and how many rows of each table went.
	EraseTenant(ctx context.Context, t tenant.ID) (map[string]int64, error)
}

// Shredder ends a tenant's data keys and can prove it. It is asked before any
// row is deleted.
type Shredder interface {
	ShredTenant(ctx context.Context, t tenant.ID) error
}

// Ender exports and erases tenants. Rows is required.
type Ender struct {
	Rows   Rows
	Shred  Shredder // nil: the keys go with the first rows
	Tenant *Operator
}

// Export writes what is stored of a tenant, one JSON object a line: first
// the tenant, then its rows. It has no secrets, and no e-mail addresses: those
// are sealed.
func (e *Ender) Export(ctx context.Context, slug string, w io.Writer) error {
	r, err := e.Tenant.Find(ctx, slug)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	line := func(table string, row any) error {
		return out.Encode(struct {
			Table string `json:"table"`
			Row   any    `json:"row"`
		}{table, row})
	}
	view, err := e.Tenant.View(*r)
	if err != nil {
		return err
	}
	if err := line("tenants", view); err != nil {
		return err
	}
	return e.Rows.ExportTenant(ctx, r.ID, func(table string, row json.RawMessage) error { return line(table, row) })
}

// Erase deletes a tenant for good. It must be suspended, and confirm must be its
// slug.
func (e *Ender) Erase(ctx context.Context, slug, confirm string) (map[string]int64, error) {
	r, err := e.Tenant.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	switch {
	case r.ID == tenant.DefaultID:
		return nil, errors.New("the default tenant belongs to the deployment and cannot be erased")
	case r.Status != tenant.Suspended:
		return nil, ErrNotSuspended
	case confirm != slug:
		return nil, fmt.Errorf("this deletes tenant %s (%s) with all its people's connections, for good: confirm it with its slug", r.Slug, r.Name)
	}
	if e.Shred != nil {
		if err := e.Shred.ShredTenant(ctx, r.ID); err != nil {
			return nil, fmt.Errorf("shredding keys: %w", err)
		}
	}
	return e.Rows.EraseTenant(ctx, r.ID)
}
