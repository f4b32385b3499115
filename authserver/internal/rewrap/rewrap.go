package rewrap

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

const (
	batchSize = 200
	// maxPasses bounds how often values that others change are looked for again.
	maxPasses = 10
)

// Table is a table with sealed values that stay for long. Values of a flow live
// minutes and are not moved.
type Table string

const (
	Credentials Table = "credentials"
	Connections Table = "connections"
	SigningKeys Table = "signing_keys"
	Revocations Table = "google_revocations"
	Upstream    Table = "upstream_clients"
)

// Tables are all of them.
func Tables() []Table { return []Table{Credentials, Connections, SigningKeys, Revocations, Upstream} }

// Value is one sealed value of a row.
type Value struct {
	Binding vault.Binding
	Old     []byte
	New     []byte // nil: stays as it is
	Stale   bool   // is of another data key or format than asked for
}

// Row is a row with at least one stale value.
type Row struct {
	ID     string // within its table and tenant; ordered
	Values []Value
}

// Page asks for rows with stale values, by id.
type Page struct {
	Table  Table
	Active uuid.UUID // the data key that values shall be under
	After  string    // "" for the first page
	Limit  int
}

// Count is how many values of a kind a data key seals.
type Count struct {
	Kind   string    // table and column
	Key    uuid.UUID // zero: of no known format
	Format int
	Rows   int64
	Moves  bool // Run moves values of this kind; others end by themselves
}

// Store is what a run needs of the database. Every method is bound to the
// tenant.
type Store interface {
	DataKeys(ctx context.Context, t tenant.ID) ([]vault.DataKey, error)
	// StoreWrapped replaces a data key's wrapped form unless it is wrapped by
	// another key-encryption key than old by now; it reports whether it did.
	StoreWrapped(ctx context.Context, t tenant.ID, old string, k vault.DataKey) (bool, error)
	StaleValues(ctx context.Context, t tenant.ID, p Page) ([]Row, error)
	// ReplaceValues writes the new values of rows that still have the old ones,
	// and returns how many rows those are.
	ReplaceValues(ctx context.Context, t tenant.ID, table Table, rows []Row) (int64, error)
	CountValues(ctx context.Context, t tenant.ID) ([]Count, error)
}

// Progress is how far a run is with a tenant.
type Progress struct {
	Wrapped int              `json:"data_keys_rewrapped"` // now by the current key-encryption key
	Done    int64            `json:"rows_done"`
	Lost    int64            `json:"rows_changed_by_others"` // seen again, or current by now
	Refused int64            `json:"values_refused"`         // open under no key: left as they are
	Left    map[string]int64 `json:"values_left"`            // by data key
}

// Run moves everything of a tenant. Every field but Report is required.
type Run struct {
	Store  Store
	KEK    *vault.KEK
	Vault  *vault.Vault   // over the same key-encryption key and store
	Report func(Progress) // after each batch
}

// Tenant moves a tenant's data keys and values. Left is what was still to be
// done when it ended: values that servers sealed meanwhile under a data key
// that they took for the active one, which they do for vault.TTL at most.
func (r *Run) Tenant(ctx context.Context, t tenant.ID) (Progress, error) {
	var p Progress
	if err := r.wrap(ctx, t, &p); err != nil {
		return p, err
	}
	if err := r.left(ctx, t, &p); err != nil || len(p.Left) == 0 {
		return p, err
	}
	for range maxPasses {
		// Read anew each time: it is the vault that must agree with the database
		// about what is current.
		active, err := r.Vault.Active(ctx, t)
		if err != nil {
			return p, err
		}
		found := false
		p.Refused = 0
		for _, table := range Tables() {
			some, err := r.table(ctx, t, Page{Table: table, Active: active, Limit: batchSize}, &p)
			if err != nil {
				return p, err
			}
			found = found || some
		}
		if !found {
			break
		}
	}
	return p, r.left(ctx, t, &p)
}

func (r *Run) wrap(ctx context.Context, t tenant.ID, p *Progress) error {
	keys, err := r.Store.DataKeys(ctx, t)
	if err != nil {
		return fmt.Errorf("reading data keys: %w", err)
	}
	for _, k := range keys {
		if k.KEK == r.KEK.ID() {
			continue
		}
		fresh, err := vault.Rewrap(ctx, r.KEK, t, k)
		if err != nil {
			return err
		}
		done, err := r.Store.StoreWrapped(ctx, t, k.KEK, fresh)
		if err != nil {
			return fmt.Errorf("storing a data key: %w", err)
		}
		if done {
			p.Wrapped++
		}
	}
	return nil
}

// left counts what is not under the active data key and the current format.
func (r *Run) left(ctx context.Context, t tenant.ID, p *Progress) error {
	keys, err := r.Store.DataKeys(ctx, t)
	if err != nil {
		return fmt.Errorf("reading data keys: %w", err)
	}
	var active uuid.UUID
	for _, k := range keys {
		if k.Active {
			active = k.ID
		}
	}
	counts, err := r.Store.CountValues(ctx, t)
	if err != nil {
		return fmt.Errorf("counting values: %w", err)
	}
	p.Left = map[string]int64{}
	for _, c := range counts {
		if c.Moves && (c.Key != active || c.Format != vault.Format) {
			p.Left[c.Key.String()] += c.Rows
		}
	}
	return nil
}

// table goes once through a table. It reports whether there was anything that
// can be moved.
func (r *Run) table(ctx context.Context, t tenant.ID, page Page, p *Progress) (found bool, err error) {
	for {
		rows, err := r.Store.StaleValues(ctx, t, page)
		if err != nil || len(rows) == 0 {
			return found, err
		}
		page.After = rows[len(rows)-1].ID
		var ready []Row
		for _, row := range rows {
			some, err := r.reseal(ctx, row, p)
			if err != nil {
				return found, err
			}
			if some {
				ready = append(ready, row)
			}
		}
		if len(ready) == 0 {
			continue
		}
		found = true
		n, err := r.Store.ReplaceValues(ctx, t, page.Table, ready)
		if err != nil {
			return found, fmt.Errorf("storing values: %w", err)
		}
		p.Done += n
		p.Lost += int64(len(ready)) - n
		for _, row := range ready {
			for _, v := range row.Values {
				if v.Stale && len(p.Left) > 0 {
					p.Left[keyOf(v.Old)]--
				}
			}
		}
		if r.Report != nil {
			r.Report(*p)
		}
	}
}

// reseal fills in the new values of a row.
func (r *Run) reseal(ctx context.Context, row Row, p *Progress) (some bool, err error) {
	for i := range row.Values {
		v := &row.Values[i]
		if !v.Stale {
			continue
		}
		plain, err := r.Vault.Open(ctx, v.Binding, v.Old)
		if errors.Is(err, vault.ErrRefused) || err == nil && v.Binding.Subject != uuid.Nil && v.Binding.Person.Empty() {
			p.Refused++
			continue
		}
		if err != nil {
			return false, err
		}
		v.New, err = r.Vault.Seal(ctx, v.Binding, plain)
		clear(plain)
		if err != nil {
			return false, err
		}
		some = true
	}
	return some, nil
}

func keyOf(sealed []byte) string {
	id, _ := vault.KeyID(sealed)
	return id.String()
}
