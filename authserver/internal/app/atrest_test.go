package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/pgtest"
	"latchkey/deploy/dev/pgcluster"
	"latchkey/migrations"
	"latchkey/pkg/secret"
)

// forms are how a secret could stand in a file: as it is, in hex, and in base64 at each of the three places that it can have in a
// longer text. Of each only a piece is looked for, because a page's head may cut it in two.
func forms(value string) (out []string) {
	pieces := []string{value}
	if len(value) > 24 {
		pieces = []string{value[:16], value[len(value)-16:]}
	}
	for _, p := range pieces {
		h := hex.EncodeToString([]byte(p))
		out = append(out, p, h, strings.ToUpper(h), url.QueryEscape(p))
		for shift := range 3 {
			padded := append(make([]byte, shift), p...)
			for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				text := e.EncodeToString(padded)
				end := len(text)
				if len(padded)%3 != 0 {
					end-- // its bits depend on what follows
				}
				out = append(out, text[(shift*8+5)/6:end])
			}
		}
	}
	return out
}

// holds names the secrets that a text has in some form.
func holds(text []byte, secrets map[string]string) (found []string) {
	for name, value := range secrets {
		for _, f := range forms(value) {
			if bytes.Contains(text, []byte(f)) {
				found = append(found, name+" as "+f[:4]+"…")
				break
			}
		}
	}
	return found
}

// TestNothingReadableAtRest: DESIGN §1.6: after whole flows with refreshes no secret of ours, of Google's or of the person stands in a
// dump of the database, in its files or in its write-ahead log, in clear, hex or base64. A name that is meant to stand there does.
func TestNothingReadableAtRest(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t)
	dsn := cluster.DSN(pgcluster.Database)
	if err := migrations.Up(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := authtest.Start(t, func(c *config.Server) { c.DatabaseURL = secret.NewText(dsn) })
	secrets := map[string]string{"address of alice": "alice@example.com", "address of bob": "bob@example.com", "Google client secret": "google-secret"}
	x := s.Exchanger(t, s.Internal)
	for _, account := range []string{"alice", "bob"} {
		registered := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "client_secret_post", "client_name": "planted-name-of-" + account})
		v := s.VisitAs(t, registered["client_id"].(string))
		v.Choice.Account = account + "@example.com"
		for _, name := range []string{"client_secret", "registration_access_token"} {
			secrets[name+" of "+account] = registered[name].(string)
		}
		q, page := s.Walk(t, v)
		if q == nil {
			t.Fatalf("no code: %d %s", page.Status, page.Body)
		}
		secrets["code of "+account], secrets["verifier of "+account] = q.Get("code"), v.Verifier
		ask := v.Redeem(q.Get("code"))
		for i := range 3 {
			ask.Set("client_secret", registered["client_secret"].(string))
			status, out := s.Token(t, ask)
			if status != 200 {
				t.Fatalf("%d %v", status, out)
			}
			n := account + string(rune('0'+i))
			secrets["access token of "+n], secrets["refresh token of "+n] = out["access_token"].(string), out["refresh_token"].(string)
			req := request(out, gmailRead)
			req.ForceRefresh = true
			got, err := x.Exchange(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			secrets["Google access token of "+n] = got.AccessToken
			link := asked(t, s, act(out, "0"+string(rune('a'+i))))
			secrets["question"], secrets["link of "+n] = "carol@outsider.test", link[strings.LastIndexByte(link, '/')+1:]
			ask = v.Refresh(out["refresh_token"].(string))
		}
	}
	for i, token := range s.Google.RefreshTokens() {
		secrets["Google refresh token "+string(rune('0'+i))] = token
	}
	if n := len(s.Google.RefreshTokens()); n < 2 || len(secrets) < 25 {
		t.Fatalf("%d refresh tokens of Google, %d secrets: the test looks for too little", n, len(secrets))
	}
	planted := map[string]string{"alice's client": "planted-name-of-alice", "bob's client": "planted-name-of-bob"}

	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	dump := everything(t, conn)
	look := func(where string, text []byte) {
		t.Helper()
		if found := holds(text, secrets); len(found) > 0 {
			t.Errorf("%s holds %v", where, found)
		}
	}
	look("a dump", dump)
	if found := holds(dump, planted); len(found) != len(planted) {
		t.Errorf("the dump lacks what is meant to stand in it: %v", found)
	}
	if out, err := pgDump(t, dsn); err == nil {
		look("pg_dump", out)
		if found := holds(out, planted); len(found) != len(planted) {
			t.Errorf("pg_dump lacks what is meant to stand in it: %v", found)
		}
	} else if !errors.Is(err, exec.ErrNotFound) { // PostgreSQL comes without it where it comes from npm; then the dump above is all there is
		t.Error(err)
	}
	// What is not written to its table's file yet is in the log already.
	wal, files := 0, 0
	if err := filepath.WalkDir(cluster.Data(), func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && d.Type().IsRegular() {
			info, err = d.Info()
		}
		var b []byte
		if err == nil && info != nil && !info.ModTime().Before(began) { // else from before there was a secret
			b, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) && path != cluster.Data() {
			return nil // the server, which runs, has removed it since it was listed
		}
		if err != nil || b == nil {
			return err
		}
		files++
		b = bytes.TrimRight(b, "\x00") // a log segment has its size from the beginning
		look(strings.TrimPrefix(path, cluster.Data()), b)
		if strings.Contains(path, "pg_wal") {
			wal += len(holds(b, planted))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if wal < len(planted) || files < 5 {
		t.Errorf("%d files, and %d planted names in the write-ahead log: the test looks in the wrong place", files, wal)
	}
}

// everything is every row of every table, also those that come later.
func everything(t *testing.T, conn *pgx.Conn) []byte {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	for _, table := range tables {
		name := pgx.Identifier{table}.Sanitize()
		var all string
		if err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `ALTER TABLE `+name+` NO FORCE ROW LEVEL SECURITY`); err != nil {
				return err
			}
			if err := tx.QueryRow(t.Context(), `SELECT coalesce(string_agg(to_jsonb(x)::text, E'\n'), '') FROM `+name+` x`).Scan(&all); err != nil {
				return err
			}
			return errDone // and everything as it was
		}); !errors.Is(err, errDone) {
			t.Fatal(table, err)
		}
		dump.WriteString(all)
	}
	return dump.Bytes()
}

var errDone = errors.New("done")

// pgDump dumps as the owner, whom row-level security binds: as a member of the jobs role it sees every row.
func pgDump(t *testing.T, dsn string) ([]byte, error) {
	t.Helper()
	tool, err := exec.LookPath("pg_dump")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump"); len(found) > 0 {
		tool, err = found[len(found)-1], nil
	}
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(t.Context(), tool, "--dbname", dsn, "--inserts", "--enable-row-security").Output()
}

// TestForms: the search finds a secret in each form, wherever it begins.
func TestForms(t *testing.T) {
	t.Parallel()
	const value = "1//0canary-secret-that-is-long-enough"
	for shift := range 4 {
		text := strings.Repeat("x", shift) + value + "yz"
		for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text)), url.QueryEscape(text)} {
			if len(holds([]byte(form), map[string]string{"it": value})) != 1 {
				t.Errorf("not found in %s", form)
			}
		}
	}
	if found := holds([]byte(strings.Repeat("1//0canary", 20)), map[string]string{"it": value}); len(found) != 0 {
		t.Error(found)
	}
}
