package connection_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

// revokes is Google's revocation endpoint, played by the test.
type revokes func(token string)

func (f revokes) Revoke(_ context.Context, token secret.Text) error {
	f(token.Reveal())
	return nil
}

// TestRevocationLooksAtTheLastMoment: an account that somebody links while Google is busy with another's token is not revoked: that would
// end the new connection.
func TestRevocationLooksAtTheLastMoment(t *testing.T) {
	t.Parallel()
	alone := newBench(t) // the revoker takes whatever is queued, another test's too
	t.Cleanup(alone.db.Close)
	first, second, other := alone.setUp(t, time.Hour, granted, nil), alone.setUp(t, time.Hour, granted, nil), alone.setUp(t, time.Hour, granted, nil)
	first.signIn("a1", "of the first", time.Hour, granted)
	second.signIn("a2", "of the second", time.Hour, granted)
	for _, f := range []*fixture{first, second} {
		if err := f.db.Disconnect(t.Context(), f.ref); err != nil {
			t.Fatal(err)
		}
	}
	var revoked []string
	upstreamRevokes := revokes(func(token string) {
		if revoked = append(revoked, token); len(revoked) > 1 {
			return
		}
		r, err := other.db.EnsureLinkable(t.Context(), tenant.DefaultID, other.ref.Subject, second.record().GoogleSubject, "")
		if err == nil {
			link := connection.Link{Ref: r.Ref, UpstreamClient: upstream, SealedEmail: []byte("e"), SealedAccess: []byte("a"), AccessExpires: time.Now().Add(time.Hour), GoogleScopes: granted}
			err = other.db.LinkAccount(t.Context(), link)
		}
		if err != nil {
			t.Error(err)
		}
	})
	revoker := &connection.Revoker{Queue: first.db, Vault: first.vault, Log: slog.New(slog.DiscardHandler),
		Google: func(context.Context, tenant.ID) (connection.Revokes, error) { return upstreamRevokes, nil }}
	for range 2 { // the second finds nothing left
		if err := revoker.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(revoked, []string{"of the first"}) {
		t.Errorf("revoked: %v", revoked)
	}
	if left, err := first.db.ClaimSubjectRevocations(t.Context(), tenant.DefaultID, second.ref.Subject, 9); err != nil || len(left) != 0 {
		t.Errorf("left in the queue: %+v %v", left, err)
	}
}
