package postgres_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// link links a further Google account of the fixture's person.
func (f *fixture) link(t testing.TB, googleSub string) connection.Ref {
	t.Helper()
	r, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, googleSub, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.db.LinkAccount(ctx, linkOf(r.Ref)); err != nil {
		t.Fatal(err)
	}
	return r.Ref
}

func linkOf(ref connection.Ref) connection.Link {
	return connection.Link{Ref: ref, UpstreamClient: "up", SealedRefresh: []byte("r"), SealedAccess: []byte("a"), AccessExpires: time.Now().Add(time.Hour),
		GoogleScopes: oauth.NewScopes("openid"), SealedEmail: []byte("e")}
}

// defaults are the person's default accounts, of which there is one as long as an account is linked.
func (f *fixture) defaults(t testing.TB) []string {
	t.Helper()
	list, err := f.db.Connections(ctx, tenant.DefaultID, f.record.Subject)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range list {
		if c.IsDefault {
			out = append(out, c.Alias)
		}
	}
	return out
}

// TestOneDefault: whatever is linked, disconnected and made the default at once, exactly one linked account is the default, and none deadlocks.
func TestOneDefault(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	refs := []connection.Ref{f.record.Ref}
	for i := range 7 {
		refs = append(refs, f.link(t, fmt.Sprintf("sub-%d", i)))
	}
	for round := range 6 {
		var wg sync.WaitGroup
		fail := func(err error) {
			if err != nil && !errors.Is(err, connection.ErrNotFound) {
				t.Error(err)
			}
		}
		for i, ref := range refs {
			wg.Go(func() {
				switch (i + round) % 4 {
				case 0:
					fail(f.db.SetDefault(ctx, ref))
				case 1:
					fail(f.db.Disconnect(ctx, ref))
				case 2:
					fail(f.db.LinkAccount(ctx, linkOf(ref)))
				case 3:
					fail(f.db.Rename(ctx, ref, fmt.Sprintf("name %d", i)))
				}
			})
		}
		wg.Wait()
		list, err := f.db.Connections(ctx, tenant.DefaultID, f.record.Subject)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.defaults(t); len(list) > 0 && len(got) != 1 || len(list) == 0 && len(got) != 0 {
			t.Errorf("round %d: %d linked, defaults %v", round, len(list), got)
		}
	}
}

// TestAliases: aliases are unique per person, whatever their case; the first is the domain, further ones have a number; their number is bounded.
func TestAliases(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	second := f.link(t, "sub-2")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { f.link(t, fmt.Sprintf("parallel-%d", i)) })
	}
	wg.Wait()
	list, err := f.db.Connections(ctx, tenant.DefaultID, f.record.Subject)
	aliases := map[string]bool{}
	for _, c := range list {
		aliases[c.Alias] = true
	}
	if err != nil || len(list) != 8 || list[0].Alias != "example.com" || list[1].Alias != "example.com-2" || len(aliases) != 8 || !aliases["example.com-8"] {
		t.Errorf("%v %v", aliases, err)
	}
	if err := f.db.Rename(ctx, second, "EXAMPLE.com"); !errors.Is(err, connection.ErrAliasTaken) {
		t.Error(err)
	}
	for i := len(list); i < connection.MaxPerSubject; i++ {
		f.link(t, fmt.Sprintf("more-%d", i))
	}
	if _, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "one-too-many", ""); !errors.Is(err, connection.ErrTooMany) {
		t.Error(err)
	}
	if _, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "sub-2", ""); err != nil {
		t.Errorf("a known one: %v", err)
	}
}

// TestRoomForAccounts: what was disconnected takes no room, so twenty accounts are not for good; linked again it does, and of two that want the
// last room one gets it. However many rows there are, an exchange finds the grant's own account and the person's page what is linked.
func TestRoomForAccounts(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	g := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, g); err != nil {
		t.Fatal(err)
	}
	gone := f.link(t, "gone-0")
	for i := range connection.MaxPerSubject + 2 { // one at a time
		if i > 0 {
			gone = f.link(t, fmt.Sprintf("gone-%d", i))
		}
		if err := f.db.Disconnect(ctx, gone); err != nil {
			t.Fatal(err)
		}
	}
	for i := 2; i < connection.MaxPerSubject; i++ {
		f.link(t, fmt.Sprintf("kept-%d", i))
	}
	// Two trips found room, of a new account and of one that was there.
	fresh, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "fresh", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "gone-0", ""); err != nil {
		t.Fatal(err)
	}
	var links sync.WaitGroup
	errs := make([]error, 2)
	for i, ref := range []connection.Ref{fresh.Ref, gone} {
		links.Go(func() { errs[i] = f.db.LinkAccount(ctx, linkOf(ref)) })
	}
	links.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), connection.ErrTooMany) {
		t.Errorf("the last room: %v", errs)
	}
	for _, sub := range []string{"gone-1", "newer"} {
		if _, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, sub, ""); !errors.Is(err, connection.ErrTooMany) {
			t.Errorf("%s: %v", sub, err)
		}
	}
	// The grant's own account is the newest of more than can be read.
	f.exec(t, `UPDATE connections SET status = 'linked' WHERE subject_id = $1`, f.record.Subject)
	f.exec(t, `UPDATE connections SET created_at = now() + interval '1 hour' WHERE id = $1`, f.record.Connection)
	found, err := f.db.Exchange(ctx, exchange.Lookup{Tenant: tenant.DefaultID, Grant: g.ID, Subject: f.record.Subject,
		Assertion: &client.AssertionID{Hash: sha256.Sum256([]byte("room")), Expires: time.Now().Add(time.Minute)}})
	if err != nil || !found.GrantLive || len(found.Connections) != connection.MaxPerSubject+1 || found.Connections[connection.MaxPerSubject].Ref != f.record.Ref {
		t.Errorf("%+v %v", found, err)
	}
	f.exec(t, `UPDATE connections SET status = 'unlinked', is_default = false WHERE subject_id = $1 AND id <> $2`, f.record.Subject, f.record.Connection)
	f.exec(t, `UPDATE connections SET is_default = false WHERE subject_id = $1`, f.record.Subject)
	page, err := f.db.Account(ctx, tenant.DefaultID, f.record.Subject, session.Life{Idle: time.Hour, Absolute: time.Hour})
	if err != nil || len(page.Connections) == 0 || page.Connections[0].Ref != f.record.Ref {
		t.Errorf("%+v %v", page, err)
	}
}

// TestDisconnectIsOneTransaction: tokens gone, queue filled, grants of this account and no other ended; a second time there is nothing to do.
func TestDisconnectIsOneTransaction(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	mine := f.grant(t)
	if _, err := f.db.RedeemCode(ctx, mine); err != nil {
		t.Fatal(err)
	}
	other := f.link(t, "sub-2")
	for i, err := range parallel(16, func() error { return f.db.Disconnect(ctx, other) }) {
		if err != nil && !errors.Is(err, connection.ErrNotFound) {
			t.Errorf("%d: %v", i, err)
		}
	}
	due, err := f.db.ClaimRevocations(ctx, 10)
	if err != nil || len(due) != 1 || due[0].Ref != other || due[0].Purpose != "refresh_token" || due[0].InUse {
		t.Errorf("%+v %v", due, err)
	}
	if token, person, err := f.db.RevocationToken(ctx, due[0]); err != nil || string(token) != "r" || !bytes.Equal(person.Reveal(), f.record.Person.Reveal()) {
		t.Errorf("%s %v", token, err)
	}
	if _, err := f.db.RotateRefresh(ctx, rotation(mine, 1)); err != nil {
		t.Errorf("a grant of another account ended: %v", err)
	}
	stranger := f.record.Ref
	stranger.Subject = uuid.New()
	if err := f.db.Disconnect(ctx, stranger); !errors.Is(err, connection.ErrNotFound) {
		t.Error(err)
	}
	if _, err := f.db.RotateRefresh(ctx, rotation(mine, 2)); err != nil {
		t.Errorf("another person ended it: %v", err)
	}
	if err := f.db.Disconnect(ctx, f.record.Ref); err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.RotateRefresh(ctx, rotation(mine, 3)); err == nil {
		t.Error("the grant lives")
	}
}

// TestRevocationsAreClaimedOnce: of 16 workers one gets a row, and nobody has it again before its time.
func TestRevocationsAreClaimedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	if err := f.db.Disconnect(ctx, f.record.Ref); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	claimed := 0
	for _, err := range parallel(16, func() error {
		due, err := f.db.ClaimRevocations(ctx, 10)
		mu.Lock()
		defer mu.Unlock()
		claimed += len(due)
		return err
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if claimed != 1 {
		t.Errorf("claimed %d times", claimed)
	}
}

// TestInUseIsWhatHoldsAToken: a connection to the same Google account stands against revoking while it holds a token of the grant, whatever its
// status says of its use.
func TestInUseIsWhatHoldsAToken(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	other, err := f.db.EnsureConnection(ctx, tenant.DefaultID, "somebody-else", "")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, other.Subject, f.record.GoogleSubject, "")
	if err != nil {
		t.Fatal(err)
	}
	link := linkOf(shared.Ref)
	link.RefreshID = connection.IdentifyRefresh(secret.NewText("a refresh token of Google's"))
	if err := f.db.LinkAccount(ctx, link); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE credentials SET upstream_client = 'up' WHERE connection_id = $1`, f.record.Connection)
	if err := f.db.Disconnect(ctx, f.record.Ref); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, set string
		inUse     bool
	}{
		{"active", `status = 'active'`, true},
		{"active, and never had a refresh token", `refresh_token = NULL, refresh_hash = NULL, refresh_prefix = NULL`, true},
		{"needs a sign-in, with a token", `status = 'needs_reauth', refresh_token = 'r', refresh_hash = decode(repeat('00', 64), 'hex')`, true},
		{"needs a sign-in, without", `refresh_token = NULL, refresh_hash = NULL, access_token = NULL`, false},
		{"disconnected", `status = 'revoked'`, false},
	} {
		f.exec(t, `UPDATE credentials SET `+row.set+` WHERE connection_id = $1`, shared.Connection)
		due, err := f.db.ClaimSubjectRevocations(ctx, tenant.DefaultID, f.record.Subject, 9)
		if err != nil || len(due) != 1 || due[0].InUse != row.inUse {
			t.Errorf("%s: %+v %v", row.name, due, err)
		}
	}
}

// TestQueueShowsNoToken: the jobs role, which sees every tenant, cannot read what is to be revoked.
func TestQueueShowsNoToken(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SET ROLE latchkey_jobs`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`SELECT token FROM google_revocations`, `UPDATE google_revocations SET token = ''`, `SELECT email FROM connections`} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("the jobs role may %s", sql)
		}
	}
}

// TestInvitationIsUsedOnce: DESIGN §1.4: of 16 at once one wins; one that adds an account, or repairs a further one, is not used up by another person or by nobody.
func TestInvitationIsUsedOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	hash := func(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
	adds := connection.Ref{Tenant: tenant.DefaultID, Subject: f.record.Subject}
	another, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, "google-further", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]connection.Ref{"repair": f.record.Ref, "further": another.Ref, "add": adds, "over": f.record.Ref} {
		life := time.Minute
		if name == "over" {
			life = -time.Second
		}
		if err := f.db.InsertInvitation(ctx, hash(name), connection.Invitation{Ref: ref, ClientID: "c1", Reason: "r", Scopes: oauth.NewScopes("a")}, life, 10); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"further", "add", "over"} {
		for _, who := range []uuid.UUID{uuid.New(), uuid.Nil} {
			if _, err := f.db.UseInvitation(ctx, tenant.DefaultID, hash(name), who); !errors.Is(err, connection.ErrNoInvitation) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"repair", "further", "add"} {
		if i, err := f.db.Invitation(ctx, tenant.DefaultID, hash(name)); err != nil || i.Subject != f.record.Subject || i.Adds() != (name == "add") || i.OfPerson != (name != "repair") {
			t.Errorf("%s: %+v %v", name, i, err)
		}
		won := 0
		for _, err := range parallel(16, func() error {
			_, err := f.db.UseInvitation(ctx, tenant.DefaultID, hash(name), f.record.Subject)
			return err
		}) {
			if err == nil {
				won++
			} else if !errors.Is(err, connection.ErrNoInvitation) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%s: used %d times", name, won)
		}
	}
}

// TestSessionUseTouchesNoIndex: what the use of a session changes is in no index, so that it can be a HOT update.
func TestSessionUseTouchesNoIndex(t *testing.T) {
	t.Parallel()
	var indexed int
	if err := pgtest.Tx(t).QueryRow(ctx, `SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND (a.attnum = ANY (i.indkey) OR pg_get_indexdef(i.indexrelid) ~ a.attname)
		WHERE i.indrelid = 'sessions'::regclass AND a.attname IN ('last_used_at', 'ended_at')`).Scan(&indexed); err != nil || indexed != 0 {
		t.Errorf("%d indexes: %v", indexed, err)
	}
}
