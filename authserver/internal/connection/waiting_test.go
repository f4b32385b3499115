package connection_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// holding is a store that gives the lease and says when it came back.
type holding struct {
	stuck
	released time.Time
}

func (s *holding) TakeLease(context.Context, connection.Ref, int64, uuid.UUID, time.Duration) (bool, error) {
	return true, nil
}

func (s *holding) ReleaseLease(context.Context, connection.Ref, uuid.UUID) error {
	s.released = time.Now()
	return nil
}

// hanging is a Google that never answers.
type hanging struct{}

func (hanging) ID() string { return upstream }
func (hanging) Refresh(ctx context.Context, _ secret.Text, _ oauth.Scopes) (*google.Tokens, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestHangingGoogle: a live holder gives its lease back before it ends, so no second one asks Google beside it.
func TestHangingGoogle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := connection.Record{Ref: connection.Ref{Tenant: tenant.DefaultID}, Status: connection.Active, UpstreamClient: upstream, SealedRefresh: []byte("r"), GoogleScopes: granted, Version: 1}
		store, begun := &holding{}, time.Now()
		c := &connection.Credentials{Store: store, Vault: plain{}, Google: always(hanging{})}
		got, err := c.AccessToken(t.Context(), &r, granted, 0, false)
		want(t, "hanging", got, err, "", connection.ErrTransient)
		if held := store.released.Sub(begun); held <= 0 || held >= connection.Lease {
			t.Errorf("the lease was held for %v", held)
		}
	})
}

// stuck is a store in which another replica holds the lease for ever.
type stuck struct{ record connection.Record }

func (s *stuck) Connection(context.Context, connection.Ref) (*connection.Record, error) {
	r := s.record
	return &r, nil
}

func (s *stuck) TakeLease(context.Context, connection.Ref, int64, uuid.UUID, time.Duration) (bool, error) {
	return false, nil
}
func (s *stuck) ReleaseLease(context.Context, connection.Ref, uuid.UUID) error { panic("no lease") }
func (s *stuck) PublishRefresh(context.Context, connection.Refreshed) error    { panic("no lease") }
func (s *stuck) MarkCredential(context.Context, connection.Ref, int64, uuid.UUID, connection.Status, string) error {
	panic("no lease")
}

// plain is a vault for tests of time: real ones are tested with a database.
type plain struct{}

func (plain) Seal(_ context.Context, _ vault.Binding, b []byte) ([]byte, error) { return b, nil }
func (plain) Open(_ context.Context, _ vault.Binding, b []byte) ([]byte, error) { return b, nil }

// never is a Google that is never reached.
type never struct{}

func (never) ID() string { return upstream }
func (never) Refresh(context.Context, secret.Text, oauth.Scopes) (*google.Tokens, error) {
	panic("called without the lease")
}

// TestWaitBudget: a waiter gives up after its budget, with the living token if there is one.
func TestWaitBudget(t *testing.T) {
	t.Parallel()
	for name, life := range map[string]time.Duration{"dead": 0, "alive": 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := connection.Record{Ref: connection.Ref{Tenant: tenant.DefaultID}, Status: connection.Active, UpstreamClient: upstream, SealedRefresh: []byte("r"),
				SealedAccess: []byte("stored"), AccessExpires: time.Now().Add(life), GoogleScopes: granted, Version: 1}
			c := &connection.Credentials{Store: &stuck{r}, Vault: plain{}, Google: always(never{})}
			begun := time.Now()
			got, err := c.AccessToken(t.Context(), &r, granted, 20*time.Minute, false)
			var reason error
			if life == 0 {
				reason = connection.ErrTransient
			}
			want(t, name, got, err, "stored", reason)
			if took := time.Since(begun); took < connection.WaitBudget || took > connection.WaitBudget+time.Second {
				t.Errorf("%s: gave up after %v", name, took)
			}
		})
	}
}
