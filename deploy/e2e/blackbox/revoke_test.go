package blackbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
	"latchkey/pkg/exchange"
)

var manyGrants = flag.Int("grants", 3000, "grants that TestRevokeAll ends")

// ofDefault is a connection that sees the default tenant's rows, as a server does.
func ofDefault(t *testing.T, s *stack.Stack) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DatabaseURL)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, sql := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`} {
		_, err := conn.Exec(t.Context(), sql)
		must(t, err)
	}
	return conn
}

func number(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	must(t, conn.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

// revoking is `authserver revoke` as a process of its own.
type revoking struct {
	*exec.Cmd
	out, errOut bytes.Buffer
}

func revoke(t *testing.T, s *stack.Stack, args ...string) *revoking {
	t.Helper()
	r := &revoking{Cmd: exec.CommandContext(t.Context(), s.AS.Args[0], append([]string{"revoke"}, args...)...)}
	r.Env, r.Stdout, r.Stderr = s.AS.Env, &r.out, &r.errOut
	return r
}

// fed is how often the feed of revocations was answered.
func fed(t *testing.T, s *stack.Stack) int {
	t.Helper()
	log, err := os.ReadFile(s.AS.Log)
	must(t, err)
	return bytes.Count(log, []byte(`"path":"`+exchange.RevocationsPath+`"`))
}

// refused reports whether the resource server refuses the client's access token.
func refused(t *testing.T, c *smoke.Client) bool {
	t.Helper()
	_, err := c.CallTool(t.Context(), smoke.DefaultTool, nil)
	if err != nil && !strings.Contains(err.Error(), "status 401") {
		t.Fatal(err)
	}
	return err != nil
}

// TestRevokeAll: issue 5: `revoke --all` is refused by the resource server within 10 s however many grants there are: as soon as it has
// heard of it, which it asks for every 3 s, long before each of them is marked. The command is killed half-way, and the same command goes
// on; who signs in meanwhile works all the time.
func TestRevokeAll(t *testing.T) {
	t.Parallel()
	s := own(t, "RATE_LIMIT_SCALE=0")
	old := signedIn(t, s)
	works(t, old)
	conn := ofDefault(t, s)
	_, err := conn.Exec(t.Context(), `INSERT INTO grants (tenant_id, id, client_id, subject_id, connection_id, resource, scopes, offline, redirect_uri, code_challenge, code_expires_at, redeemed_at,
			generation, rotated_at, idle_expires_at, expires_at, created_at)
		SELECT g.tenant_id, gen_random_uuid(), g.client_id, g.subject_id, g.connection_id, g.resource, g.scopes, g.offline, g.redirect_uri, g.code_challenge, g.code_expires_at, g.redeemed_at,
			g.generation, g.rotated_at, g.idle_expires_at, g.expires_at, g.created_at
		FROM (SELECT * FROM grants LIMIT 1) g, generate_series(2, $1)`, *manyGrants)
	must(t, err)
	const living, marked = `SELECT count(*) FROM grants WHERE revoked_at IS NULL`, `SELECT count(*) FROM grants WHERE revoked_reason = 'mass_revocation'`

	dry := revoke(t, s, "--all", "--dry-run", "--json")
	must(t, dry.Run())
	var counted []struct{ Grants int }
	must(t, json.Unmarshal(dry.out.Bytes(), &counted))
	if len(counted) != 1 || counted[0].Grants != *manyGrants || number(t, conn, living) != *manyGrants {
		t.Fatalf("counted %+v", counted)
	}
	if asked := revoke(t, s, "--all"); asked.Run() == nil || !strings.Contains(asked.errOut.String(), "--confirm") || number(t, conn, living) != *manyGrants {
		t.Fatalf("not confirmed: %s", asked.errOut.String())
	}

	// Somebody holds one row, so that the command is not done before it is killed.
	holder := ofDefault(t, s)
	held, err := holder.Begin(t.Context())
	must(t, err)
	_, err = held.Exec(t.Context(), `SELECT FROM grants LIMIT 1 FOR UPDATE`)
	must(t, err)
	began := time.Now()
	first := revoke(t, s, "--all", "--confirm")
	must(t, first.Start())
	half := make(chan time.Duration, 1)
	watcher := ofDefault(t, s)
	go func() {
		defer close(half)
		for n := 0; t.Context().Err() == nil; time.Sleep(20 * time.Millisecond) { // another process's work: there is no event to wait on
			if err := watcher.QueryRow(t.Context(), marked).Scan(&n); err == nil && n >= *manyGrants/2 {
				_ = first.Process.Kill()
				half <- time.Since(began)
				return
			}
		}
	}()
	eventually(t, "the revocation to begin", func() bool { return number(t, conn, `SELECT count(*) FROM revocation_epochs`) == 1 })
	before := fed(t, s)
	eventually(t, "the resource server to refuse", func() bool {
		answers := fed(t, s) - before
		done := refused(t, old)
		if !done && answers > 2 { // one may have been under way, and who asks again has read the one before
			t.Fatalf("served after the feed was asked %d times", answers)
		}
		return done
	})
	t.Logf("%d grants: the resource server refuses after %s", *manyGrants, time.Since(began).Round(time.Millisecond))
	if a, err := old.Token(t.Context(), "refresh", old.RefreshForm()); err != nil || a.Status != http.StatusBadRequest || a.Error != "invalid_grant" {
		t.Errorf("a refresh: %+v %v", a, err)
	}
	fresh := signedIn(t, s)
	works(t, fresh)
	t.Logf("killed after %s", (<-half).Round(time.Millisecond))
	if err := first.Wait(); err == nil {
		t.Fatal("the command ended by itself")
	}
	if n := number(t, conn, marked); n < *manyGrants/2 || n == *manyGrants {
		t.Fatalf("%d are marked", n)
	}

	// The row is held until the command goes on: the servers do so too, and once they are done the same command begins another revocation.
	again := time.Now()
	second := revoke(t, s, "--all", "--confirm")
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	must(t, err)
	t.Cleanup(func() { _ = said.Close() })
	second.Stderr = said
	must(t, second.Start())
	eventually(t, "the same command goes on", func() bool {
		b, err := os.ReadFile(said.Name())
		must(t, err)
		return bytes.Contains(b, []byte("\n"))
	})
	must(t, held.Rollback(t.Context()))
	err = second.Wait()
	words, readErr := os.ReadFile(said.Name())
	must(t, readErr)
	t.Logf("resumed, done after %s", time.Since(again).Round(time.Millisecond))
	if err != nil || !bytes.HasPrefix(words, []byte("going on with revocation ")) || !strings.Contains(second.out.String(), fmt.Sprintf(" is done: %d grants", *manyGrants)) {
		t.Errorf("resumed: %v, %s%s", err, words, second.out.String())
	}
	if number(t, conn, marked) != *manyGrants || number(t, conn, living) != 1 {
		t.Errorf("%d marked, %d living", number(t, conn, marked), number(t, conn, living))
	}
	if n := number(t, conn, `SELECT count(DISTINCT grant_id) FROM audit_events WHERE kind = 'grant.revoked' AND actor = 'operator'`); n != *manyGrants {
		t.Errorf("%d grants have an event", n)
	}
	must(t, fresh.Refresh(t.Context()))
	works(t, fresh)
	if !refused(t, old) {
		t.Error("the old token works again")
	}
}
