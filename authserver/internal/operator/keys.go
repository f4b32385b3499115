package operator

import (
	"context"
	"errors"
	"time"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

// Key is a signing key, without the key.
type Key struct {
	KID       string         `json:"kid"`
	Purpose   keyset.Purpose `json:"purpose"`
	Alg       string         `json:"alg"`
	State     keyset.State   `json:"state"`
	Created   time.Time      `json:"created_at"`
	Activated time.Time      `json:"activated_at,omitzero"`
	Retired   time.Time      `json:"retired_at,omitzero"`
	// Seconds until a next key signs or a retired one is deleted, 0 when a server
	// does it at its next turn; absent for an active key.
	Remaining *int64 `json:"remaining_seconds,omitempty"`
}

// SigningKeys returns a tenant's keys: active, next, retired ones newest first.
func (o *Operator) SigningKeys(ctx context.Context, t tenant.ID) ([]Key, error) {
	records, err := o.Keys.Store.SigningKeys(ctx, t)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, len(records))
	for i, r := range records {
		keys[i] = Key{KID: r.KID, Purpose: r.Purpose, Alg: r.Alg, State: r.State, Created: r.Created.UTC(), Activated: r.Activated.UTC(), Retired: r.Retired.UTC()}
		if left, ok := keyset.DefaultTiming().Remaining(r); ok {
			seconds := int64(max(0, left) / time.Second)
			keys[i].Remaining = &seconds
		}
	}
	return keys, nil
}

// Rotation is what came of rotating the keys of one purpose. Without a KID
// nothing was done, for the reason in Note.
type Rotation struct {
	Purpose keyset.Purpose `json:"purpose"`
	KID     string         `json:"kid,omitempty"`     // the new key
	Deleted []string       `json:"deleted,omitempty"` // by a rotation at once
	Signs   int64          `json:"signs_in_seconds"`  // when the new key signs
	Note    string         `json:"note,omitempty"`
}

// Rotate publishes the next key of each purpose, all if none is named; servers
// activate it when everybody can know it. At once is for a key that has leaked:
// every key of the one purpose is deleted, and all that it signed stops working.
func (o *Operator) Rotate(ctx context.Context, t tenant.ID, atOnce bool, purposes ...keyset.Purpose) ([]Rotation, error) {
	if atOnce && len(purposes) != 1 {
		return nil, tenancy.Invalid("say which kind of key has leaked")
	}
	if len(purposes) == 0 {
		purposes = keyset.Purposes()
	}
	done := make([]Rotation, 0, len(purposes))
	for _, p := range purposes {
		one, err := Rotation{Purpose: p}, error(nil)
		if atOnce {
			one.KID, one.Deleted, err = o.Keys.Replace(ctx, t, p)
		} else {
			one.KID, err = o.Keys.Publish(ctx, t, p)
			one.Signs = int64(keyset.DefaultTiming().Lead / time.Second)
		}
		switch {
		case errors.Is(err, keyset.ErrNextExists), errors.Is(err, keyset.ErrNoKeys): // nothing is wrong
			one = Rotation{Purpose: p, Note: err.Error()}
		case errors.Is(err, keyset.ErrTooManyKeys):
			return done, &tenancy.InvalidError{Reason: err}
		case err != nil:
			return done, err
		}
		done = append(done, one)
	}
	return done, nil
}
