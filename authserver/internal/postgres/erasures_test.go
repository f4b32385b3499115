package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// subjectTables reads from the catalogue every table with a subject, and the columns of each: one that has a column subject_id,
// and one that refers to such a table or to subjects, over however many references.
func subjectTables(t *testing.T, conn *pgx.Conn) map[string][]string {
	t.Helper()
	rows, err := conn.Query(ctx, `WITH RECURSIVE of (t) AS (
			SELECT 'subjects'::regclass::oid
			UNION SELECT a.attrelid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
				WHERE a.attname IN ('subject_id', 'connection_id') AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
			UNION SELECT f.conrelid FROM pg_constraint f JOIN of ON f.confrelid = of.t WHERE f.contype = 'f')
		SELECT c.relname::text, a.attname::text FROM of JOIN pg_class c ON c.oid = of.t JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	var table, column string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		out[table] = append(out[table], column)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// withheld are the columns that a person's export leaves out: what opens something, what is sealed, and what says nothing of them.
var withheld = map[string][]string{
	"*":                  {"tenant_id", "subject_id", "secret_hash", "data_key"},
	"subjects":           {"erasure_code", "erasure_next_at", "erasure_google", "erasure_receipt"},
	"connections":        {"email", "email_key"}, // the address is opened
	"credentials":        {"refresh_token", "refresh_key", "refresh_hash", "refresh_prefix", "access_token", "access_key", "lease_owner", "lease_until"},
	"grants":             {"code_challenge"},
	"google_revocations": {"token"},
	"approvals":          {"digest", "question"},
	"subject_secrets":    {"secret"},
	"revocation_epochs":  {"after"},             // a key of the job's last row
	"audit_events":       {"id", "seq", "hash"}, // the chain's
}

// kept are the tables that an erasure leaves as they are: nobody may change the audit trail, whose rows have random ids and no
// personal data (decision 0010).
var kept = []string{"audit_events"}

// TestEverySubjectTableIsKnown: issue 4: every table with a subject is covered by the erasure and, column by column, by the export;
// a table that somebody adds is not, until it is thought of.
func TestEverySubjectTableIsKnown(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(ctx, pgtest.Clone(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	missing := func() (out []string) {
		erased, exported := postgres.ErasedOfSubject(), postgres.ExportedOfSubject()
		for table, columns := range subjectTables(t, conn) {
			if !slices.Contains(erased, table) && !slices.Contains(kept, table) {
				out = append(out, table+" is not erased")
			}
			for _, c := range columns {
				if !slices.Contains(exported[table], c) && !slices.Contains(withheld["*"], c) && !slices.Contains(withheld[table], c) {
					out = append(out, table+"."+c+" is not exported")
				}
			}
		}
		slices.Sort(out)
		return out
	}
	if found := missing(); len(found) != 0 {
		t.Errorf("%s", strings.Join(found, "\n"))
	}
	if n := len(subjectTables(t, conn)); n < 9 {
		t.Errorf("only %d tables: the catalogue was not read", n)
	}
	for _, sql := range []string{
		`CREATE TABLE planted_by_name (tenant_id uuid, subject_id uuid)`,
		`CREATE TABLE planted_by_reference (tenant_id uuid, account uuid, note text, UNIQUE (tenant_id, account), FOREIGN KEY (tenant_id, account) REFERENCES connections (tenant_id, id))`,
		`CREATE TABLE planted_at_the_end (tenant_id uuid, other uuid, FOREIGN KEY (tenant_id, other) REFERENCES planted_by_reference (tenant_id, account))`,
		`ALTER TABLE sessions ADD COLUMN planted text`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{
		"planted_at_the_end is not erased", "planted_at_the_end.other is not exported", "planted_by_name is not erased",
		"planted_by_reference is not erased", "planted_by_reference.account is not exported", "planted_by_reference.note is not exported", "sessions.planted is not exported",
	}; !slices.Equal(missing(), want) {
		t.Errorf("what was planted is not found: %v", missing())
	}
}

// TestNothingIsAddedToTheErased: a sign-in under way, a link and a session for somebody who is being erased are refused as a whole,
// whoever comes first; the person who comes back is somebody else.
func TestNothingIsAddedToTheErased(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	of := f.record.Ref
	link := connection.Link{Ref: of, UpstreamClient: "up", SealedEmail: []byte("e"), SealedAccess: []byte("a"), AccessExpires: time.Now()}
	attempts := map[string]func() error{
		"a sign-in": func() error {
			return f.db.CompleteSignIn(ctx, flow.SignIn{Link: link, Snapshot: []byte("{}"), Grant: grant.New{Tenant: of.Tenant, ID: uuid.New(), ClientID: "c", Subject: of.Subject, Connection: of.Connection,
				Resource: mcp, Scopes: oauth.NewScopes("gmail.read"), CodeChallenge: challenge, Lifetimes: tenant.DefaultLifetimes()}})
		},
		"a link": func() error { return f.db.LinkAccount(ctx, link) },
		"an account": func() error {
			_, err := f.db.EnsureLinkable(ctx, of.Tenant, of.Subject, "sub-new", "")
			return err
		},
		"a session": func() error {
			return f.db.BeginSession(ctx, of.Tenant, session.New{SecretHash: [32]byte{9}, ID: uuid.New(), Subject: of.Subject, Most: 9})
		},
		"an invitation": func() error {
			return f.db.InsertInvitation(ctx, [32]byte{8}, connection.Invitation{Ref: of, ClientID: "c", Reason: "r"}, time.Minute, 10)
		},
	}
	// Beside the erasure: what was first is erased, what is later is refused.
	var all sync.WaitGroup
	start := make(chan struct{})
	for _, attempt := range attempts {
		for range 4 {
			all.Go(func() {
				<-start
				_ = attempt() // either way
			})
		}
	}
	all.Go(func() {
		<-start
		if err := f.db.BeginErasure(ctx, of.Tenant, of.Subject, [32]byte{1}); err != nil {
			t.Error(err)
		}
	})
	close(start)
	all.Wait()
	left := func() string {
		return strings.Join(pgStrings(t, f.dsn, `SELECT 'credential' FROM credentials UNION ALL SELECT 'consent' FROM consents UNION ALL SELECT 'session' FROM sessions
			UNION ALL SELECT 'link' FROM links UNION ALL SELECT 'live grant' FROM grants WHERE revoked_at IS NULL OR client_id <> '' UNION ALL SELECT 'account' FROM connections WHERE status = 'linked' OR email <> '' OR alias <> ''`), " ")
	}
	if found := left(); found != "" {
		t.Errorf("left beside the erasure: %s", found)
	}
	for name, attempt := range attempts {
		if err := attempt(); err == nil {
			t.Errorf("%s for the erased", name)
		}
	}
	if found := left(); found != "" {
		t.Errorf("left after it: %s", found)
	}
	again, err := f.db.EnsureConnection(ctx, of.Tenant, f.record.GoogleSubject, "")
	if err != nil || again.Subject == of.Subject || again.Connection == of.Connection {
		t.Errorf("%+v %v", again, err)
	}
}

// TestErasuresAreForgottenInTime: the ids of grants go after the longest life of an access token, the rest with the receipt, and
// neither before the erasure is finished; of several replicas one has each turn.
func TestErasuresAreForgottenInTime(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	of := f.record.Ref
	age := func(interval string) {
		run(t, f.dsn, `SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '`+of.Tenant.String()+`', false)`,
			`UPDATE subjects SET erasing_at = now() - interval '`+interval+`', erasure_next_at = now()`)
	}
	rows := func() int {
		return len(pgStrings(t, f.dsn, `SELECT 'g' FROM grants UNION ALL SELECT 'c' FROM connections UNION ALL SELECT 's' FROM subjects`))
	}
	if err := f.db.BeginErasure(ctx, of.Tenant, uuid.New(), [32]byte{}); !errors.Is(err, erasure.ErrNoSubject) {
		t.Errorf("nobody is erased: %v", err)
	}
	if err := f.db.BeginErasure(ctx, of.Tenant, of.Subject, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if due, err := f.db.ClaimErasures(ctx, 10); err != nil || len(due) != 0 { // who began it has a minute
		t.Errorf("%v %v", due, err)
	}
	age("31 days")
	for _, forget := range []error{f.db.ForgetGrants(ctx, of.Tenant, of.Subject), f.db.ForgetSubject(ctx, of.Tenant, of.Subject)} {
		if forget != nil || rows() != 3 {
			t.Fatalf("forgotten before it was finished: %v, %d rows", forget, rows())
		}
	}
	if _, err := f.db.ShredSubject(ctx, of.Tenant, of.Subject); err != nil {
		t.Fatal(err)
	}
	for _, receipt := range []string{"first", "second"} {
		if err := f.db.FinishErasure(ctx, of.Tenant, of.Subject, erasure.GoogleDone, receipt); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := f.db.ErasureOfCode(ctx, of.Tenant, [32]byte{1}); err != nil || e.Receipt != "first" || e.Subject != of.Subject {
		t.Errorf("%+v %v", e, err)
	}
	var mine sync.Map
	var all sync.WaitGroup
	age("24 hours")
	for i := range 8 {
		all.Go(func() {
			due, err := f.db.ClaimErasures(ctx, 10)
			if err != nil {
				t.Error(err)
			}
			if len(due) > 0 {
				mine.Store(i, due[0].Google)
			}
		})
	}
	all.Wait()
	claims := 0
	mine.Range(func(_, google any) bool { claims++; return google == erasure.GoogleDone })
	if claims != 1 {
		t.Errorf("%d callers have the turn", claims)
	}
	for interval, want := range map[string]int{"24 hours": 3} {
		age(interval)
		if err := f.db.ForgetGrants(ctx, of.Tenant, of.Subject); err != nil || rows() != want {
			t.Errorf("after %s: %d rows, %v", interval, rows(), err)
		}
	}
	age("26 hours")
	if err := f.db.ForgetGrants(ctx, of.Tenant, of.Subject); err != nil || rows() != 1 {
		t.Errorf("after 26 hours: %d rows, %v", rows(), err)
	}
	if err := f.db.ForgetSubject(ctx, of.Tenant, of.Subject); err != nil || rows() != 1 {
		t.Errorf("the receipt is gone after a day: %v", err)
	}
	age("31 days")
	if err := f.db.ForgetSubject(ctx, of.Tenant, of.Subject); err != nil || rows() != 0 {
		t.Errorf("after a month: %d rows, %v", rows(), err)
	}
}

// pgStrings runs a query as a server does for the default tenant.
func pgStrings(t *testing.T, dsn, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`} {
		if _, err := conn.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}
