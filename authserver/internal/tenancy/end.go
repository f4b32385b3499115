package tenancy

import (
	"context"
	"encoding/json"
	"io"

	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenant"
)

// Rows are a tenant's rows, all of them.
type Rows interface {
	// ExportTenant calls row for each row of the tenant, table by table, without
	// secrets and sealed values.
	ExportTenant(ctx context.Context, t tenant.ID, row func(table string, columns json.RawMessage) error) error
	// EraseTenant deletes every row of a suspended tenant whose keys are shredded.
	// Interrupted, it is called again. It returns ErrNotSuspended, and how many rows
	// of each table went.
	EraseTenant(ctx context.Context, t tenant.ID) (map[string]int64, error)
}

// Shredder destroys a suspended tenant's keys and everything sealed under them,
// before any row is deleted, and returns a signed receipt: *erasure.Shredder.
type Shredder interface {
	Tenant(ctx context.Context, t tenant.ID) (receipt string, what erasure.Receipt, err error)
}

// Ender exports and erases tenants. Rows and Tenant are required, Shred for
// erasing.
type Ender struct {
	Rows     Rows
	Shred    Shredder
	Tenant   *Operator
	Exported func(rows int64) // after each row of an export, with how many there were
}

// Erased is what an erasure did.
type Erased struct {
	Rows    map[string]int64 `json:"rows"`    // deleted, by table
	Receipt string           `json:"receipt"` // signed by the default tenant: package erasure
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
	var rows int64
	return e.Rows.ExportTenant(ctx, r.ID, func(table string, row json.RawMessage) error {
		if rows++; e.Exported != nil {
			e.Exported(rows)
		}
		return line(table, row)
	})
}

// Erase deletes a tenant for good. It must be suspended, and confirm must be its
// slug.
func (e *Ender) Erase(ctx context.Context, slug, confirm string) (*Erased, error) {
	r, err := e.Tenant.Find(ctx, slug)
	if err != nil {
		return nil, err
	}
	switch {
	case r.ID == tenant.DefaultID:
		return nil, Invalid("the default tenant belongs to the deployment and cannot be erased")
	case r.Status != tenant.Suspended:
		return nil, ErrNotSuspended
	case confirm != slug:
		return nil, Invalid("this deletes tenant %s (%s) with all its people's connections, for good: confirm it with its slug", r.Slug, r.Name)
	}
	receipt, _, err := e.Shred.Tenant(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	rows, err := e.Rows.EraseTenant(ctx, r.ID)
	return &Erased{Rows: rows, Receipt: receipt}, err
}
