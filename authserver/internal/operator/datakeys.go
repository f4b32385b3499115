package operator

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// MaxDataKeys is how many data keys a tenant can have: a server unwraps all of them
// at its first use, each with a call to the key management service, and has eight
// seconds for it.
const MaxDataKeys = 50

// DataKeyStore is the database for data keys, as ConnectionStore.
type DataKeyStore interface {
	DataKeys(ctx context.Context, t tenant.ID) ([]vault.DataKey, error)
	// DataKeyStates are all of them, the oldest first.
	DataKeyStates(ctx context.Context, t tenant.ID) ([]DataKey, error)
	// RotateDataKey makes k the active one and retires old; false when that is not
	// the active one any more.
	RotateDataKey(ctx context.Context, t tenant.ID, old uuid.UUID, k vault.DataKey) (bool, error)
}

// DataKey is a data key of a tenant, without the key.
type DataKey struct {
	ID      uuid.UUID     `json:"data_key"`
	State   string        `json:"state"` // active or retired
	KEK     string        `json:"kek"`   // id of the key-encryption key that wraps it
	Created time.Time     `json:"created_at"`
	Retired time.Time     `json:"retired_at,omitzero"` // zero while active
	Age     time.Duration `json:"-"`                   // in its state, by the database's clock
}

// DataKeys returns a tenant's data keys, the oldest first.
func (o *Operator) DataKeys(ctx context.Context, t tenant.ID) ([]DataKey, error) {
	return o.Store.DataKeyStates(ctx, t)
}

// DataRotation is what came of rotating a tenant's data key. Without an id nothing
// was done, for the reason in Note.
type DataRotation struct {
	ID   uuid.UUID `json:"data_key,omitzero"` // the new one
	Note string    `json:"note,omitempty"`
}

// RotateData makes a new active data key; servers seal under it within vault.TTL. It
// returns tenancy.ErrChanged when somebody else has just done it.
func (o *Operator) RotateData(ctx context.Context, t tenant.ID) (*DataRotation, error) {
	keys, err := o.Store.DataKeys(ctx, t)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(keys, func(k vault.DataKey) bool { return k.Active })
	if i < 0 {
		return &DataRotation{Note: "there is no data key yet: a server makes it at the tenant's first use"}, nil
	}
	if len(keys) >= MaxDataKeys {
		return nil, tenancy.Invalid("the tenant has %d data keys, as many as it can have: first move what is sealed under the old ones and delete those (authserver keys rewrap --delete-old)", len(keys))
	}
	// The old key is unwrapped first: whoever has the wrong key-encryption key
	// changes nothing.
	if _, err := vault.Rewrap(ctx, o.KEK, t, keys[i]); err != nil {
		return nil, err
	}
	fresh, err := vault.NewDataKey(ctx, o.KEK, t)
	if err != nil {
		return nil, err
	}
	rotated, err := o.Store.RotateDataKey(ctx, t, keys[i].ID, fresh)
	if err != nil {
		return nil, err
	}
	if !rotated {
		return nil, tenancy.ErrChanged
	}
	return &DataRotation{ID: fresh.ID}, nil
}
