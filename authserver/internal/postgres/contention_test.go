package postgres_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// together runs 16 calls at once; none may fail, as each would be a 503.
func together(t *testing.T, call func(i int) error) {
	t.Helper()
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			<-start
			if err := call(i); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
}

func hashOf(format string, values ...any) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, format, values...))
}

// TestSessionsUnderContention: 16 browsers sign in at once, each with a session that another's sign-in ends as one too many, of
// one person and of two who share the browsers: nobody waits in a circle, and the limit holds.
func TestSessionsUnderContention(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	second, err := f.db.EnsureSubject(ctx, tenant.DefaultID, "google-sub-2")
	if err != nil {
		t.Fatal(err)
	}
	people := []uuid.UUID{f.record.Subject, second}
	const most = 4
	for round := range 8 {
		together(t, func(i int) error {
			return f.db.BeginSession(ctx, tenant.DefaultID, session.New{
				SecretHash: hashOf("%d %d", round, i), ID: uuid.New(), Subject: people[(i+round)%2], Most: most, Ends: hashOf("%d %d", round-1, 15-i),
			})
		})
		for _, p := range people {
			o, err := f.db.Account(ctx, tenant.DefaultID, p, session.Life{Idle: time.Hour, Absolute: time.Hour})
			if err != nil || len(o.Sessions) == 0 || len(o.Sessions) > most {
				t.Fatalf("round %d: %d sessions %v", round, len(o.Sessions), err)
			}
		}
	}
}

// TestAccountsUnderContention: a person's first sign-in, further accounts of the same domain and new names at once: each account
// gets a name of its own, and nothing fails because another took it meanwhile.
func TestAccountsUnderContention(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	for round := range 6 {
		own := fmt.Sprintf("own-%d", round)
		subject, err := f.db.EnsureSubject(ctx, tenant.DefaultID, own)
		if err != nil {
			t.Fatal(err)
		}
		together(t, func(i int) error {
			if i%2 == 0 {
				_, err := f.db.EnsureConnection(ctx, tenant.DefaultID, own, "example.com")
				return err
			}
			r, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, subject, fmt.Sprintf("%s-%d", own, i), "example.com")
			if err != nil {
				return err
			}
			if err := f.db.Rename(ctx, r.Ref, fmt.Sprintf("example.com-%d", i)); !errors.Is(err, connection.ErrAliasTaken) {
				return err
			}
			return nil
		})
	}
}

// TestSignInsUnderContention: a person without a default account signs in with several, links and chooses at once: exactly one
// becomes the default, and no sign-in fails.
func TestSignInsUnderContention(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	refs := []connection.Ref{f.record.Ref}
	for i := range 7 {
		refs = append(refs, f.link(t, fmt.Sprintf("sub-%d", i)))
	}
	for range 6 {
		for _, ref := range refs {
			if err := f.db.Disconnect(ctx, ref); err != nil {
				t.Fatal(err)
			}
		}
		together(t, func(i int) error {
			ref := refs[i%len(refs)]
			if i%4 == 3 {
				if err := f.db.SetDefault(ctx, ref); !errors.Is(err, connection.ErrNotFound) {
					return err
				}
				return nil
			}
			if i%4 == 2 {
				return f.db.LinkAccount(ctx, linkOf(ref))
			}
			return f.db.CompleteSignIn(ctx, flow.SignIn{Link: linkOf(ref), Snapshot: []byte("{}"), Grant: grant.New{
				Tenant: tenant.DefaultID, ID: uuid.Must(uuid.NewV7()), ClientID: fmt.Sprintf("c%d", i), Subject: ref.Subject, Connection: ref.Connection,
				Resource: mcp, Scopes: oauth.NewScopes("gmail.read"), Offline: true, RedirectURI: "http://127.0.0.1:1/cb", CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes(),
			}})
		})
		if got := f.defaults(t); len(got) != 1 {
			t.Fatalf("defaults: %v", got)
		}
		for _, ref := range refs { // those that only SetDefault met are not linked
			if err := f.db.LinkAccount(ctx, linkOf(ref)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestManyAccountsOfADomain: names go on being counted where a person had more than 99, or 999, accounts of one domain.
func TestManyAccountsOfADomain(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	const long = "a-domain-of-more-than-thirty-six-characters.example"
	last := ""
	add := func(i int) {
		r, err := f.db.EnsureLinkable(ctx, tenant.DefaultID, f.record.Subject, fmt.Sprintf("sub-%d", i), long)
		if err != nil {
			t.Fatal(i, err)
		}
		last = r.Alias
	}
	for i := 1; i <= 101; i++ {
		add(i)
	}
	if last != long[:36]+"-101" {
		t.Errorf("the 101st is %q", last)
	}
	f.exec(t, `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, hosted_domain, status, is_default, alias)
		SELECT $1, gen_random_uuid(), $2, 'many-' || n, ''::bytea, '', 'unlinked', false, left($3, 36) || '-' || n FROM generate_series(102, 999) n`,
		tenant.DefaultID.UUID(), f.record.Subject, long)
	add(1000)
	if last != long[:35]+"-1000" {
		t.Errorf("the 1000th is %q", last)
	}
}

// TestSignOutsUnderContention: a person, and an operator, sign the person out everywhere at once: nobody waits in a circle.
func TestSignOutsUnderContention(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	for round := range 5 {
		f.exec(t, `INSERT INTO sessions (tenant_id, secret_hash, id, subject_id, browser) SELECT $1, sha256(($3 || '-' || n)::bytea), gen_random_uuid(), $2, '' FROM generate_series(1, 300) n`,
			tenant.DefaultID.UUID(), f.record.Subject, fmt.Sprint(round))
		together(t, func(i int) error {
			if i%2 == 0 {
				return f.db.EndSubjectSessions(ctx, tenant.DefaultID, f.record.Subject)
			}
			_, err := f.db.OperatorEndSessions(ctx, tenant.DefaultID, f.record.Subject)
			return err
		})
	}
}

// TestErasedTwiceUnderContention: of two servers, or requests, that end the same erasure at once, one waits for the other: the person is
// locked before the accounts.
func TestErasedTwiceUnderContention(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	for i := range 3 {
		f.link(t, fmt.Sprintf("google-sub-%d", i+2))
	}
	if err := f.db.BeginErasure(ctx, tenant.DefaultID, f.record.Subject, hashOf("")); err != nil {
		t.Fatal(err)
	}
	blocker, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close(ctx) }()
	for _, sql := range []string{`BEGIN`, `SELECT FROM connections WHERE id = (SELECT id FROM connections ORDER BY ctid DESC LIMIT 1) FOR UPDATE`} {
		if _, err := blocker.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 2)
	for n, end := range []func() error{
		func() error {
			return f.db.FinishErasure(ctx, tenant.DefaultID, f.record.Subject, erasure.GoogleDone, "receipt")
		},
		func() error { _, err := f.db.ShredSubject(ctx, tenant.DefaultID, f.record.Subject); return err },
	} {
		go func() { done <- end() }()
		for waiting := 0; waiting <= n; {
			if err := blocker.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
				t.Fatal(err)
			}
			if len(done) > 0 {
				t.Fatal("one did not wait: ", <-done)
			}
		}
	}
	if _, err := blocker.Exec(ctx, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestBusyServerRevokes: other long work of a server, such as a tenant's erasure of half an hour, keeps a revocation of everybody's access
// waiting for its count of rows, and not from its work.
func TestBusyServerRevokes(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	defer f.db.Busy()()
	r := revocation.Revoker{Store: f.db}
	job, _, err := r.Begin(ctx, revocation.Selector{})
	if err == nil {
		err = r.Step(ctx)
	}
	if err == nil {
		job, err = r.Status(ctx, job.ID)
	}
	if err != nil || job.Finished.IsZero() || job.Done.Grants != 1 {
		t.Errorf("%+v %v", job, err)
	}
}

// TestLongWorkLeavesTheFeed: however much long work is asked for at once, resource servers are told what is revoked: while all of it
// waits for a table, the feed answers.
func TestLongWorkLeavesTheFeed(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := f.grant(t)
	if err := f.db.RevokeGrant(ctx, tenant.DefaultID, r.ID, "test"); err != nil {
		t.Fatal(err)
	}
	blocker, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close(ctx) }()
	if _, err := blocker.Exec(ctx, `BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	const works = 4
	done := make(chan error, works)
	for range works {
		go func() { _, err := f.db.CountAffected(ctx, revocation.Selector{}); done <- err }()
	}
	for waiting := 0; waiting == 0; {
		if err := blocker.QueryRow(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT l.granted`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		feed, err := f.db.Revocations(ctx, time.Now().Add(-time.Hour), 10, 10)
		if err != nil || len(feed.Grants) != 1 {
			t.Errorf("%+v %v", feed, err)
		}
	}
	if len(done) != 0 {
		t.Errorf("the feed waited for %d works", len(done))
	}
	if _, err := blocker.Exec(ctx, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	for range works {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
