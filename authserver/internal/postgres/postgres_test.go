package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

var ctx = context.Background()

func open(t testing.TB, dsn string, tracer pgx.QueryTracer) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(dsn), Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// fixture is a database with one person who has a connection.
type fixture struct {
	db     *postgres.DB
	dsn    string
	record *connection.Record
}

func setUp(t testing.TB, tracer pgx.QueryTracer) *fixture {
	t.Helper()
	return setUpAt(t, pgtest.Clone(t), tracer)
}

func setUpAt(t testing.TB, dsn string, tracer pgx.QueryTracer) *fixture {
	t.Helper()
	f := &fixture{db: open(t, dsn, tracer), dsn: dsn}
	var err error
	if f.record, err = f.db.EnsureConnection(ctx, tenant.DefaultID, "google-sub-1", "example.com"); err != nil {
		t.Fatal(err)
	}
	return f
}

const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B

var mcp = mustResource("https://mcp.example.com/mcp")

func mustResource(s string) oauth.Resource {
	r, err := oauth.ParseResource(s)
	if err != nil {
		panic(err)
	}
	return r
}

func (f *fixture) grant(t testing.TB) grant.Redemption {
	t.Helper()
	g := grant.New{
		Tenant: tenant.DefaultID, ID: uuid.Must(uuid.NewV7()), ClientID: "c1", Subject: f.record.Subject, Connection: f.record.Connection,
		Resource: mcp, Scopes: oauth.NewScopes("gmail.read", "drive.read"), Offline: true, RedirectURI: "http://127.0.0.1:1/cb", CodeChallenge: challenge,
		Lifetimes: tenant.DefaultLifetimes(),
	}
	link := connection.Link{SealedEmail: []byte("e"), Ref: f.record.Ref, UpstreamClient: "up", SealedRefresh: []byte("r"), SealedAccess: []byte("a"), AccessExpires: time.Now().Add(time.Hour), GoogleScopes: oauth.NewScopes("openid")}
	if err := f.db.CompleteSignIn(ctx, flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: g}); err != nil {
		t.Fatal(err)
	}
	return grant.Redemption{Tenant: tenant.DefaultID, ID: g.ID, ClientID: "c1", RedirectURI: g.RedirectURI, CodeChallenge: challenge, RefreshIdle: time.Hour}
}

func rotation(r grant.Redemption, generation int32) grant.Rotation {
	return grant.Rotation{Tenant: r.Tenant, ID: r.ID, Generation: generation, ClientID: r.ClientID, Grace: time.Minute, Replays: 16, RefreshIdle: time.Hour}
}

// exec runs a statement as the owner for the default tenant's rows, for tests
// that move time.
func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '` + tenant.DefaultID.String() + `', false)`} {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatal(err)
	}
}

// parallel runs n calls at once and returns their errors.
func parallel(n int, call func() error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = call()
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// TestCodeIsRedeemedOnce: RFC 6749 §4.1.2, PEERS A1: of 16 parallel redemptions one wins, 40 rounds.
func TestCodeIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	t.Run("A1 AS-A21 of 16 parallel redemptions one wins", codeIsRedeemedOnce)
}

func codeIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	for range 40 {
		r, won := f.grant(t), 0
		for _, err := range parallel(16, func() error { _, err := f.db.RedeemCode(ctx, r); return err }) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, grant.ErrRedeemed):
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d winners", won)
		}
		if _, err := f.db.RotateRefresh(ctx, rotation(r, 1)); err != nil {
			t.Fatalf("the winner's refresh token is dead: %v", err)
		}
	}
}

// TestRefusedRedemptionBurnsNothing: a wrong client, redirect URI, verifier, resource or tenant leaves the code usable.
func TestRefusedRedemptionBurnsNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	for name, c := range map[string]struct {
		change func(*grant.Redemption)
		want   error
	}{
		"A5 other client":          {func(r *grant.Redemption) { r.ClientID = "c2" }, grant.ErrMismatch},
		"AS-T4 other redirect URI": {func(r *grant.Redemption) { r.RedirectURI = "http://127.0.0.1:2/cb" }, grant.ErrMismatch},
		"AS-T4 A7 wrong verifier":  {func(r *grant.Redemption) { r.CodeChallenge = strings.Repeat("x", 43) }, grant.ErrMismatch},
		"AS-T7 other resource":     {func(r *grant.Redemption) { r.Resource = mustResource("https://other.example.com/mcp") }, grant.ErrWrongResource},
		"A5 other tenant":          {func(r *grant.Redemption) { r.Tenant = tenant.FromUUID(uuid.Must(uuid.NewV7())) }, grant.ErrNotFound},
		"unknown grant":            {func(r *grant.Redemption) { r.ID = uuid.Must(uuid.NewV7()) }, grant.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := r
			c.change(&wrong)
			if _, err := f.db.RedeemCode(ctx, wrong); !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatalf("the right request is refused afterwards: %v", err)
	}
}

// TestLateReplayRevokes: RFC 6749 §4.1.2: a replayed code revokes what it bought; a replay with a wrong verifier does not.
func TestLateReplayRevokes(t *testing.T) {
	t.Parallel()
	t.Run("AS-T5 A1 a late replay ends what the code bought, one with a wrong verifier does not", lateReplayRevokes)
}

func lateReplayRevokes(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE grants SET redeemed_at = redeemed_at - interval '10 seconds' WHERE id = $1`, r.ID)
	wrong := r
	wrong.CodeChallenge = strings.Repeat("x", 43)
	if _, err := f.db.RedeemCode(ctx, wrong); !errors.Is(err, grant.ErrMismatch) {
		t.Error(err)
	}
	if _, err := f.db.RotateRefresh(ctx, rotation(r, 1)); err != nil {
		t.Fatalf("a replay with a wrong verifier revoked the grant: %v", err)
	}
	if _, err := f.db.RedeemCode(ctx, r); !errors.Is(err, grant.ErrRedeemed) {
		t.Error(err)
	}
	if _, err := f.db.RotateRefresh(ctx, rotation(r, 2)); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("the replayed code's grant lives: %v", err)
	}
}

func TestExpiredCode(t *testing.T) {
	t.Parallel()
	t.Run("AS-A21 an expired code is refused", expiredCode)
}

func expiredCode(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	f.exec(t, `UPDATE grants SET code_expires_at = now() WHERE id = $1`, r.ID)
	if _, err := f.db.RedeemCode(ctx, r); !errors.Is(err, grant.ErrExpired) {
		t.Error(err)
	}
}

// TestParallelRefreshAgrees: DESIGN §4: 8 parallel refreshes get the same successor, and it works.
func TestParallelRefreshAgrees(t *testing.T) {
	t.Parallel()
	t.Run("A2 parallel refreshes get one successor", parallelRefreshAgrees)
}

func parallelRefreshAgrees(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	for generation := int32(1); generation <= 10; generation++ {
		for _, err := range parallel(8, func() error {
			g, err := f.db.RotateRefresh(ctx, rotation(r, generation))
			if err == nil && g.Generation != generation+1 {
				err = fmt.Errorf("successor has generation %d", g.Generation)
			}
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReuseRevokes: RFC 9700 §4.14.2: an old generation, a late repeat and one repeat too many end the family.
func TestReuseRevokes(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	for name, reuse := range map[string]func(t *testing.T, r grant.Redemption) error{
		"AS-T8 older generation": func(t *testing.T, r grant.Redemption) error {
			for g := int32(1); g <= 2; g++ {
				if _, err := f.db.RotateRefresh(ctx, rotation(r, g)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := f.db.RotateRefresh(ctx, rotation(r, 1))
			return err
		},
		"AS-T8 after the window": func(t *testing.T, r grant.Redemption) error {
			if _, err := f.db.RotateRefresh(ctx, rotation(r, 1)); err != nil {
				t.Fatal(err)
			}
			f.exec(t, `UPDATE grants SET rotated_at = rotated_at - interval '2 minutes' WHERE id = $1`, r.ID)
			_, err := f.db.RotateRefresh(ctx, rotation(r, 1))
			return err
		},
		"AS-T8 too many repeats": func(t *testing.T, r grant.Redemption) error {
			for range 17 {
				if _, err := f.db.RotateRefresh(ctx, rotation(r, 1)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := f.db.RotateRefresh(ctx, rotation(r, 1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := f.grant(t)
			if _, err := f.db.RedeemCode(ctx, r); err != nil {
				t.Fatal(err)
			}
			if err := reuse(t, r); !errors.Is(err, grant.ErrReused) {
				t.Fatal(err)
			}
			for g := int32(1); g <= 3; g++ {
				if _, err := f.db.RotateRefresh(ctx, rotation(r, g)); !errors.Is(err, grant.ErrRevoked) {
					t.Errorf("generation %d lives after reuse: %v", g, err)
				}
			}
		})
	}
}

// TestRefusedRotationChangesNothing: another client, resource, scope or tenant neither rotates nor revokes.
func TestRefusedRotationChangesNothing(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*grant.Rotation)
		want   error
	}{
		"AS-T9 A5 other client": {func(r *grant.Rotation) { r.ClientID = "c2" }, grant.ErrMismatch},
		"AS-T9 other resource":  {func(r *grant.Rotation) { r.Resource = mustResource("https://x.example/mcp") }, grant.ErrWrongResource},
		"AS-T9 wider scope":     {func(r *grant.Rotation) { r.Scopes = oauth.NewScopes("gmail.read", "calendar.read") }, grant.ErrWrongScope},
		"A5 other tenant":       {func(r *grant.Rotation) { r.Tenant = tenant.FromUUID(uuid.Must(uuid.NewV7())) }, grant.ErrNotFound},
		"generation not issued": {func(r *grant.Rotation) { r.Generation = 7 }, grant.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := rotation(r, 1)
			c.change(&wrong)
			if _, err := f.db.RotateRefresh(ctx, wrong); !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
	narrow := rotation(r, 1)
	narrow.Scopes = oauth.NewScopes("gmail.read")
	if g, err := f.db.RotateRefresh(ctx, narrow); err != nil || g.Generation != 2 || g.Scopes.String() != "drive.read gmail.read" {
		t.Fatal(g, err)
	}
}

// TestFlowIsUsedOnce: RFC 9700 §4.7.1, PEERS A8, A22: one browser, once.
func TestFlowIsUsedOnce(t *testing.T) {
	t.Parallel()
	t.Run("A22 A8 AS-A15 one browser uses a flow, once", flowIsUsedOnce)
}

func flowIsUsedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	state, browser := sha256.Sum256([]byte("s")), sha256.Sum256([]byte("b"))
	if err := f.db.BeginFlow(ctx, tenant.DefaultID, signin.Flow{StateHash: state, BrowserHash: browser, Request: []byte("r"), Lifetime: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.ConsumeFlow(ctx, tenant.DefaultID, state, sha256.Sum256([]byte("other"))); !errors.Is(err, signin.ErrNoFlow) {
		t.Errorf("another browser: %v", err)
	}
	if _, err := f.db.ConsumeFlow(ctx, tenant.FromUUID(uuid.Must(uuid.NewV7())), state, browser); !errors.Is(err, signin.ErrNoFlow) {
		t.Errorf("another tenant: %v", err)
	}
	won := 0
	for _, err := range parallel(16, func() error { _, err := f.db.ConsumeFlow(ctx, tenant.DefaultID, state, browser); return err }) {
		if err == nil {
			won++
		} else if !errors.Is(err, signin.ErrNoFlow) {
			t.Fatal(err)
		}
	}
	if won != 1 {
		t.Errorf("%d winners", won)
	}
}

// TestAssertionIsUsedOnce: RFC 7523 §3, PEERS A17: one of 16 parallel presentations wins, across tenants.
func TestAssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	t.Run("A17 AS-X1 an assertion of the resource server is used once", assertionIsUsedOnce)
}

func assertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, r); err != nil {
		t.Fatal(err)
	}
	l := exchange.Lookup{Tenant: tenant.DefaultID, Grant: r.ID, Subject: f.record.Subject, Assertion: &client.AssertionID{ClientID: "rs", Hash: sha256.Sum256([]byte("j")), Expires: time.Now().Add(time.Minute)}}
	won := 0
	for _, err := range parallel(16, func() error {
		found, err := f.db.Exchange(ctx, l)
		if err == nil && (!found.GrantLive || len(found.Connections) != 1) {
			err = errors.New("grant or connection not found")
		}
		return err
	}) {
		if err == nil {
			won++
		} else if !errors.Is(err, client.ErrAssertionUsed) {
			t.Fatal(err)
		}
	}
	if won != 1 {
		t.Errorf("%d winners", won)
	}
	l.Tenant = tenant.FromUUID(uuid.Must(uuid.NewV7()))
	if _, err := f.db.Exchange(ctx, l); !errors.Is(err, client.ErrAssertionUsed) {
		t.Errorf("replay for another tenant: %v", err)
	}
}

// TestLease: one of 20 takes it; an expired one can be taken; what a revoke wrote meanwhile stays.
func TestLease(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	r, err := f.db.Connection(ctx, f.record.Ref)
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for _, err := range parallel(20, func() error {
		ok, err := f.db.TakeLease(ctx, r.Ref, r.Version, uuid.New(), time.Minute)
		if err == nil && !ok {
			err = connection.ErrLost
		}
		return err
	}) {
		if err == nil {
			won++
		}
	}
	if won != 1 {
		t.Fatalf("%d leases", won)
	}
	f.exec(t, `UPDATE credentials SET lease_until = now() - interval '1 second'`)
	owner := uuid.New()
	if ok, err := f.db.TakeLease(ctx, r.Ref, r.Version, owner, time.Minute); err != nil || !ok {
		t.Fatal("an expired lease cannot be taken", err)
	}
	f.exec(t, `UPDATE credentials SET status = 'revoked', version = version + 1`)
	err = f.db.PublishRefresh(ctx, connection.Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, SealedAccess: []byte("new"), AccessExpires: time.Now()})
	if !errors.Is(err, connection.ErrLost) {
		t.Errorf("a refresh resurrected a revoked credential: %v", err)
	}
	now, err := f.db.Connection(ctx, r.Ref)
	if err != nil || now.Status != connection.Revoked || string(now.SealedAccess) == "new" {
		t.Error(now, err)
	}
}

// TestSignInKeepsRefreshToken: Google sends a refresh token once; a sign-in without one keeps it, unless another Google client minted it.
func TestSignInKeepsRefreshToken(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	signIn := func(upstream string) *connection.Record {
		g := grant.New{Tenant: tenant.DefaultID, ID: uuid.New(), ClientID: "c", Subject: f.record.Subject, Connection: f.record.Connection, Resource: mcp, Scopes: oauth.NewScopes("accounts"), CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes()}
		link := connection.Link{SealedEmail: []byte("e"), Ref: f.record.Ref, UpstreamClient: upstream, SealedAccess: []byte("a2"), AccessExpires: time.Now(), GoogleScopes: oauth.NewScopes("openid")}
		if err := f.db.CompleteSignIn(ctx, flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: g}); err != nil {
			t.Fatal(err)
		}
		r, err := f.db.Connection(ctx, f.record.Ref)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := signIn("up"); string(r.SealedRefresh) != "r" || string(r.SealedAccess) != "a2" {
		t.Error("the stored refresh token was lost")
	}
	if r := signIn("other client"); r.SealedRefresh != nil {
		t.Error("a refresh token of another Google client was kept")
	}
}

// TestFirstSignInsAgree: two first sign-ins of one person at once make one subject.
func TestFirstSignInsAgree(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Clone(t), nil)
	var mu sync.Mutex
	seen := map[connection.Ref]bool{}
	for _, err := range parallel(8, func() error {
		r, err := db.EnsureConnection(ctx, tenant.DefaultID, "new-sub", "")
		if err == nil {
			mu.Lock()
			seen[r.Ref] = true
			mu.Unlock()
		}
		return err
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d identities for one person", len(seen))
	}
}
