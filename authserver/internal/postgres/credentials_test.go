package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TestExchangeOnTheWire: an exchange that finds a living token is one Sync, one implicit transaction, of five statements: the tenant of the
// assertion, the assertion used up, the tenant, the grant, the accounts.
func TestExchangeOnTheWire(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	p := newProxy(t, f.dsn)
	db, r := through(t, p), f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	ask := func(jti string) {
		found, err := db.Exchange(ctx, exchange.Lookup{Tenant: tenant.DefaultID, Grant: r.ID, Subject: f.record.Subject,
			Assertion: &client.AssertionID{ClientID: "rs", Hash: sha256.Sum256([]byte(jti)), Expires: time.Now().Add(time.Minute)}})
		if err != nil || !found.GrantLive || len(found.Connections) != 1 {
			t.Fatal(found, err)
		}
	}
	ask("prepares the statements")
	p.quiet()
	ask("counts")
	if n := p.take(); n['S'] != 1 || n['E'] != 5 || n['B'] != 5 || n['P'] != 0 || n['Q'] != 0 {
		t.Errorf("messages %v", named(n))
	}
}

// losing is a Google whose second answer comes at the moment when the database's
// replies begin to be lost; by then its statements are prepared.
type losing struct {
	proxy *proxy
	calls atomic.Int32
}

func (*losing) ID() string { return "up" }

func (g *losing) Refresh(context.Context, secret.Text, oauth.Scopes) (*google.Tokens, error) {
	name := "first"
	if g.calls.Add(1) == 2 {
		g.proxy.set(false, true)
		name = "second"
	}
	return &google.Tokens{Access: secret.NewText(name), Refresh: secret.NewText("r-" + name), Expires: time.Now().Add(time.Hour), Scopes: oauth.NewScopes("openid")}, nil
}

// TestLostReplyOfARefresh: DESIGN §1.5: the refresh is committed, its answer is lost: the caller hears doubt, and what Google gave is there: the next caller gets
// the new token, Google is not asked again, the lease is free and the new refresh token is the one that is stored.
func TestLostReplyOfARefresh(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	p := newProxy(t, f.dsn)
	db := through(t, p)
	kek, err := vault.CreateKEK(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(vault.Config{KEK: kek, Store: f.db})
	if err != nil {
		t.Fatal(err)
	}
	bind := func(purpose vault.Purpose) vault.Binding {
		return f.record.Binding(purpose)
	}
	seal := func(purpose vault.Purpose, value string) []byte {
		sealed, err := v.Seal(ctx, bind(purpose), []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	link := connection.Link{SealedEmail: []byte("e"), Ref: f.record.Ref, UpstreamClient: "up", SealedRefresh: seal(vault.RefreshToken, "r1"), SealedAccess: seal(vault.AccessToken, "old"), AccessExpires: time.Now(), GoogleScopes: oauth.NewScopes("openid")}
	if err := f.db.CompleteSignIn(ctx, flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: grant.New{
		Tenant: tenant.DefaultID, ID: uuid.Must(uuid.NewV7()), ClientID: "c1", Subject: f.record.Subject, Connection: f.record.Connection, Resource: mcp,
		Scopes: oauth.NewScopes("accounts"), CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes(),
	}}); err != nil {
		t.Fatal(err)
	}
	upstream := &losing{proxy: p}
	c := &connection.Credentials{Store: db, Vault: v, Google: func(context.Context, tenant.ID) (connection.Google, error) { return upstream, nil }}
	read := func() *connection.Record {
		record, err := f.db.Connection(ctx, f.record.Ref)
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	if _, err := c.AccessToken(ctx, read(), oauth.NewScopes(), 0, false); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE credentials SET access_expires_at = now()`)
	before := read()
	if _, err := c.AccessToken(ctx, before, oauth.NewScopes(), 0, false); !errors.Is(err, connection.ErrTransient) {
		t.Fatalf("a lost reply is taken for an answer: %v", err)
	}
	p.set(false, false)
	for range 2 { // with what the caller knew, and with what stands
		got, err := c.AccessToken(ctx, before, oauth.NewScopes(), 0, false)
		if err != nil || got.Token.Reveal() != "second" || got.Version != before.Version+1 {
			t.Fatalf("after a lost reply: %v", err)
		}
	}
	after := read()
	stored, err := v.Open(ctx, bind(vault.RefreshToken), after.SealedRefresh)
	if err != nil || string(stored) != "r-second" || after.Status != connection.Active || upstream.calls.Load() != 2 {
		t.Errorf("%q is stored, %s, %d refreshes: %v", stored, after.Status, upstream.calls.Load(), err)
	}
	if mine, err := f.db.TakeLease(ctx, after.Ref, after.Version, uuid.New(), time.Minute); err != nil || !mine {
		t.Errorf("the lease is not free: %v", err)
	}
}

// TestEndingIsNotedOnce: of 16 at once one tells of a coming end, and the next after the time given.
func TestEndingIsNotedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	for round, want := range []int32{1, 0, 1} {
		if round == 2 {
			f.exec(t, `UPDATE credentials SET warned_at = warned_at - interval '1 hour'`)
		}
		told := atomic.Int32{}
		for _, err := range parallel(16, func() error {
			mine, err := f.db.NoteEnding(ctx, f.record.Ref, time.Hour)
			if mine {
				told.Add(1)
			}
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if told.Load() != want {
			t.Errorf("round %d: %d tell", round, told.Load())
		}
	}
}
