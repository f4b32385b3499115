package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/exchange"
)

// keysCommand runs `authserver keys ...` and returns what it prints on both
// outputs.
// many is how many persons' credentials are moved at once, beside the load.
var many = flag.Int("credentials", 500, "persons whose credentials TestKeysRotateUnderLoad moves at once")

func loadKEK(t *testing.T, file string) *vault.KEK {
	t.Helper()
	kek, err := vault.LoadKEK(file)
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func keysCommand(args ...string) (out, errOut string, err error) {
	var o, e bytes.Buffer
	if code := app.Main(context.Background(), append([]string{"keys"}, args...), &o, &e); code != 0 {
		err = fmt.Errorf("keys %v: %s", args, e.String())
	}
	return o.String(), e.String(), err
}

type sealedUnder struct {
	Tenant, State, KEK string
	ID                 uuid.UUID `json:"data_key"`
	Values             map[string]int64
	Old                int64 `json:"old_format"`
}

func status(t *testing.T, dsn string) (keys []sealedUnder) {
	t.Helper()
	out, _, err := keysCommand("status", "--json", "--database-url", dsn)
	if err == nil {
		err = json.Unmarshal([]byte(out), &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestKeysRotateUnderLoad: 20 rotations of data keys and of the key-encryption key, each followed by two rewraps at once, while two
// replicas refresh at Google, exchange and rotate refresh tokens: no request fails, and at the end all is under the last keys.
func TestKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	var replicas [2]replica
	restart := func() { // one after the other, each when its last request is answered
		for i := range replicas {
			replicas[i].restart(t, s)
		}
	}
	restart()
	defer func() {
		for i := range replicas {
			replicas[i].end()
		}
	}()
	var load sync.WaitGroup
	var exchanges, refreshes atomic.Int64
	stop, tokens := make(chan struct{}), make([]map[string]any, 4)
	for w := range tokens {
		v := s.NewVisit(t)
		v.Choice.Account = []string{"alice@example.com", "bob@example.com"}[w/2]
		out := s.SignIn(t, v)
		load.Go(func() {
			defer func() { tokens[w] = out }()
			tick := time.NewTicker(50 * time.Millisecond) // two cores shall not be busy with this alone
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				r := &replicas[(w+n)%2]
				req := request(out, gmailRead)
				req.ForceRefresh = n%3 == 0
				got, err := r.exchange(t, req)
				if err != nil || got.AccountEmail != v.Choice.Account {
					t.Errorf("exchange %d of %d: %+v %v", n, w, got, err)
					return
				}
				exchanges.Add(1)
				if n%5 != 0 {
					continue
				}
				code, next := r.refresh(t, v.Refresh(out["refresh_token"].(string)))
				if code != 200 {
					t.Errorf("refresh %d of %d: %d %v", n, w, code, next)
					return
				}
				out = next
				refreshes.Add(1)
			}
		})
	}
	db := []string{"--database-url", s.DSN, "--kek-file", s.KEKFile}
	run := func(args ...string) {
		t.Helper()
		if _, _, err := keysCommand(args...); err != nil {
			t.Error(err)
		}
	}
	const rotations = 20
	for i := range rotations {
		before := exchanges.Load()
		if i%2 == 0 {
			run(append([]string{"rotate-data"}, db...)...)
		} else {
			run("add-kek", "--kek-file", s.KEKFile)
			restart()
			run("promote-kek", "--kek-file", s.KEKFile)
			restart()
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { run(append([]string{"rewrap"}, db...)...) })
		}
		both.Wait()
		_ = status(t, s.DSN)
		for exchanges.Load() < before+8 && !t.Failed() { // each rotation meets requests before and after it
			time.Sleep(5 * time.Millisecond) // the workers' pace
		}
	}
	// And once with many: the last of the rotations, and a whole rewrap.
	v, err := vault.New(vault.Config{KEK: loadKEK(t, s.KEKFile), Store: s.DB(t)})
	if err != nil {
		t.Fatal(err)
	}
	pgtest.People(t, s.DSN, v, *many, func(p vault.Purpose, i int) string { return fmt.Sprintf("%s of %d", p, i) })
	run(append([]string{"rotate-data"}, db...)...)
	before, began := exchanges.Load(), time.Now()
	_, progress, err := keysCommand(append([]string{"rewrap"}, db...)...)
	if err != nil || !strings.Contains(progress, "left") {
		t.Errorf("%v, progress %q", err, progress)
	}
	t.Logf("%d credentials moved in %v, beside %d exchanges", *many, time.Since(began).Round(time.Millisecond), exchanges.Load()-before)
	close(stop)
	load.Wait()
	run(append([]string{"rewrap"}, db...)...)
	keys := status(t, s.DSN)
	if len(keys) != 2+rotations/2 {
		t.Errorf("%d data keys", len(keys))
	}
	kek := keys[0].KEK
	for _, k := range keys {
		lasting := k.Values["credentials.refresh_token"] + k.Values["credentials.access_token"] + k.Values["connections.email"] + k.Values["signing_keys.sealed_key"]
		if k.KEK != kek || k.State == "missing" || k.Old != 0 || (lasting > 0) != (k.State == "active") {
			t.Errorf("%+v", k)
		}
	}
	t.Logf("%d exchanges and %d refreshes during %d rotations", exchanges.Load(), refreshes.Load(), rotations)

	// Retired keys stay until every server can know; then they go, and all works.
	out, _, err := keysCommand(append([]string{"rewrap", "--delete-old"}, db...)...)
	if err != nil || !strings.Contains(out, "0 deleted, 11 kept") {
		t.Error(out, err)
	}
	asJobs(t, s.DSN, `UPDATE data_keys SET retired_at = now() - interval '1 hour' WHERE state = 'retired'`, `DELETE FROM flows`)
	if out, _, err = keysCommand(append([]string{"rewrap", "--delete-old"}, db...)...); err != nil || !strings.Contains(out, "11 deleted, 0 kept") {
		t.Error(out, err)
	}
	last := s.Replica(t)
	for _, out := range tokens {
		req := request(out, gmailRead)
		req.ForceRefresh = true
		if _, err := last.Exchanger(t, last.Internal).Exchange(t.Context(), req); err != nil {
			t.Error(err)
		}
	}
}

// replica is a server that is replaced by its successor, as in a rolling restart.
type replica struct {
	mu     sync.RWMutex // held while a request is answered
	server *authtest.Server
	life   *life
}

// life ends what was started for a test before the test does.
type life struct {
	testing.TB
	ends []func()
}

func (l *life) Cleanup(f func()) { l.ends = append(l.ends, f) }

func (r *replica) restart(t *testing.T, of *authtest.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
	r.life = &life{TB: t}
	r.server = of.Replica(r.life)
}

func (r *replica) end() {
	if r.life != nil {
		for _, f := range slices.Backward(r.life.ends) {
			f()
		}
	}
	r.life = nil
}

func (r *replica) exchange(t *testing.T, req exchange.Request) (*exchange.Response, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.server.Exchanger(t, r.server.Internal).Exchange(context.Background(), req)
}

func (r *replica) refresh(t *testing.T, form url.Values) (int, map[string]any) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.server.Token(t, form)
}

// asJobs runs statements as the jobs role.
func asJobs(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range append([]string{`SET ROLE latchkey_jobs`}, statements...) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
}

// TestSealingCommands: what the commands print, refuse and leave alone.
func TestSealingCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	signedIn := s.SignIn(t, s.NewVisit(t))
	db := []string{"--database-url", s.DSN, "--kek-file", s.KEKFile}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, _, err := keysCommand(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s %v", args, out, err)
		}
	}
	before := status(t, s.DSN)
	if len(before) != 1 || before[0].State != "active" || before[0].Tenant != "default" || !strings.HasPrefix(before[0].KEK, "file:") ||
		before[0].Values["credentials.refresh_token"] != 1 || before[0].Values["connections.email"] != 1 || before[0].Values["signing_keys.sealed_key"] != 2 {
		t.Fatalf("%+v", before)
	}
	other := filepath.Join(t.TempDir(), "other.json")
	if _, _, err := keysCommand("init", "--kek-file", other); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"rotate-data", "rewrap"} {
		refused("wrong key-encryption key", command, "--database-url", s.DSN, "--kek-file", other)
		refused("both set", append([]string{command, "--kek-uri", "hcvault://v.example.com/transit/keys/k"}, db...)...)
		refused("neither KEK_FILE nor KEK_URI", command, "--database-url", s.DSN)
		refused(`no tenant "nobody"`, append([]string{command, "--tenant", "nobody"}, db...)...)
	}
	if after := status(t, s.DSN); len(after) != 1 || after[0].KEK != before[0].KEK {
		t.Errorf("a refused command changed keys: %+v", after)
	}

	// From one key file to another: both are given, the new one wraps.
	move := []string{"rewrap", "--json", "--database-url", s.DSN, "--kek-file", other, "--from-kek-file", s.KEKFile}
	out, progress, err := keysCommand(move...)
	if err != nil {
		t.Fatal(err)
	}
	var done []struct {
		Tenant  string
		Wrapped int   `json:"data_keys_rewrapped"`
		Rows    int64 `json:"rows_done"`
	}
	if err := json.Unmarshal([]byte(out), &done); err != nil || len(done) != 1 || done[0].Wrapped != 1 || done[0].Rows != 0 {
		t.Errorf("%s %v", out, err)
	}
	for line := range strings.Lines(progress) {
		if !json.Valid([]byte(line)) {
			t.Errorf("progress is no JSON: %s", line)
		}
	}
	if after := status(t, s.DSN); after[0].KEK == before[0].KEK || after[0].ID != before[0].ID {
		t.Errorf("%+v", after)
	}
	refused("wrong key-encryption key", append([]string{"rotate-data"}, db...)...) // the old file alone
	db = []string{"--database-url", s.DSN, "--kek-file", other}
	if out, _, err := keysCommand(append([]string{"rotate-data"}, db...)...); err != nil || !strings.Contains(out, "is active") {
		t.Error(out, err)
	}
	out, progress, err = keysCommand(append([]string{"rewrap"}, db...)...)
	if err != nil || !strings.Contains(out, "4 rows sealed anew, 0 values left") || !strings.Contains(progress, "4 rows sealed anew, left: 0") {
		t.Errorf("%s%s%v", out, progress, err)
	}
	table, _, err := keysCommand("status", "--database-url", s.DSN)
	if err != nil || !strings.Contains(table, "retired") || strings.Count(table, "\n") != 3 {
		t.Error(table, err)
	}
	s.KEKFile = other
	r := s.Replica(t)
	if _, err := r.Exchanger(t, r.Internal).Exchange(t.Context(), request(signedIn, gmailRead)); err != nil {
		t.Error(err)
	}
}

// TestEverySealedColumnIsKnown: whatever column of whatever table holds values that a data key seals, read from the catalogue after
// sign-ins, a pushed request and a disconnected account, keys status counts it and the database keeps its data key for it.
func TestEverySealedColumnIsKnown(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	s.SignIn(t, v)
	asked(t, s, act(s.SignIn(t, s.NewVisit(t)), "0a"))
	if code, out := s.Post(t, "/par", "application/x-www-form-urlencoded", v.Query.Encode()); code != 201 {
		t.Fatal(code, out)
	}
	// The default tenant has no client of its own at Google, so the secret stands in
	// for one: the columns are what is tested.
	asJobs(t, s.DSN, `INSERT INTO upstream_clients (tenant_id, generation, client_id, secret, publishing, state)
		SELECT tenant_id, 1, 'c', decode('02' || replace(id::text, '-', '') || repeat('00', 40), 'hex'), 'testing', 'active' FROM data_keys`)
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `SELECT c.relname::text, a.attname::text,
			EXISTS (SELECT FROM pg_attrdef d JOIN pg_attribute g ON g.attrelid = d.adrelid AND g.attnum = d.adnum
				JOIN pg_constraint f ON f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid = 'data_keys'::regclass AND g.attnum = ANY(f.conkey)
				WHERE d.adrelid = c.oid AND g.attgenerated = 's' AND pg_get_expr(d.adbin, d.adrelid) = 'sealed_key(' || a.attname || ')')
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE a.atttypid = 'bytea'::regtype AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	type column struct {
		Table, Name string
		Kept        bool
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		t.Fatal(err)
	}
	var account struct{ Subject, Connection uuid.UUID }
	var sealed []string
	kept := map[string]bool{}
	for _, moment := range []string{"signed in", "disconnected"} {
		var here []string
		if moment == "disconnected" {
			if err := s.DB(t).Disconnect(t.Context(), connection.Ref{Tenant: tenant.DefaultID, Subject: account.Subject, Connection: account.Connection}); err != nil {
				t.Fatal(err)
			}
		}
		if err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			for _, c := range columns {
				table := pgx.Identifier{c.Table}.Sanitize()
				if _, err := tx.Exec(t.Context(), `ALTER TABLE `+table+` NO FORCE ROW LEVEL SECURITY`); err != nil {
					return err
				}
			}
			if err := tx.QueryRow(t.Context(), `SELECT subject_id, id FROM connections LIMIT 1`).Scan(&account.Subject, &account.Connection); err != nil {
				return err
			}
			for _, c := range columns {
				var n int
				if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM `+pgx.Identifier{c.Table}.Sanitize()+` x JOIN data_keys k ON k.id = sealed_key(x.`+pgx.Identifier{c.Name}.Sanitize()+`)`).Scan(&n); err != nil {
					return err
				}
				if n > 0 {
					here = append(here, c.Table+"."+c.Name)
					kept[c.Table+"."+c.Name] = c.Kept
				}
			}
			return errDone
		}); !errors.Is(err, errDone) {
			t.Fatal(err)
		}
		counted := map[string]bool{}
		for _, k := range status(t, s.DSN) {
			for kind := range k.Values {
				counted[kind] = true
			}
		}
		sealed = append(sealed, here...)
		for _, name := range here {
			if !kept[name] {
				t.Errorf("%s: the data key of %s may be deleted: add a generated column and its foreign key", moment, name)
			}
			if !counted[name] {
				t.Errorf("%s: keys status does not know %s", moment, name)
			}
		}
	}
	slices.Sort(sealed)
	want := []string{"approvals.question", "connections.email", "credentials.access_token", "credentials.refresh_token", "flows.request", "google_revocations.token", "pushed_requests.request", "signing_keys.sealed_key", "upstream_clients.secret"}
	if got := slices.Compact(sealed); !slices.Equal(got, want) {
		t.Errorf("sealed values in %v, want %v", got, want)
	}
}
