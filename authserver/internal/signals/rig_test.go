package signals_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const (
	alice    = "alice@example.com"
	aliceSub = "100000000000000000011"
	mailRead = "https://www.googleapis.com/auth/gmail.readonly"
)

// rig is a server that takes events, with one person signed in.
type rig struct {
	*authtest.Server
	visit  *authtest.Visit
	tokens map[string]any
}

func on(c *config.Server) {
	c.Google.Signals, c.Google.SignalsIssuer = true, c.Google.Issuer+"/"
}

func start(t testing.TB, options ...func(*config.Server)) *rig {
	t.Helper()
	r := &rig{Server: authtest.Start(t, append(options, on)...)}
	r.visit = r.NewVisit(t)
	r.tokens = r.SignIn(t, r.visit)
	return r
}

func (r *rig) receiver() string { return r.URL + "/google/signals" }

// claims are those of an event about alice.
func (r *rig) claims(t testing.TB, event string) map[string]any {
	t.Helper()
	c, err := r.Google.Claims(fakegoogle.Signal{Event: event, Email: alice})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *rig) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	token, err := r.Google.Sign(claims, "secevent+jwt")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// deliver posts a token and returns the status and RFC 8935's err.
func (r *rig) deliver(t testing.TB, token string) (int, string) {
	t.Helper()
	status, body, err := fakegoogle.Deliver(context.Background(), r.receiver(), token)
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusAccepted && body != "" {
		t.Errorf("RFC 8935 §2.2: 202 with a body: %q", body)
	}
	var out struct{ Err, Description string }
	if body != "" {
		if err := json.Unmarshal([]byte(body), &out); err != nil || out.Description == "" {
			t.Errorf("no error form: %q", body)
		}
	}
	return status, out.Err
}

// send sends an event that is taken.
func (r *rig) send(t testing.TB, signal fakegoogle.Signal) {
	t.Helper()
	signal.Receiver = r.receiver()
	if status, body, err := r.Google.Send(context.Background(), signal); err != nil || status != http.StatusAccepted {
		t.Fatalf("%s: %d %s %v", signal.Event, status, body, err)
	}
}

// exchange asks for a Google token as the resource server does: "" or the
// reason why there is none.
func (r *rig) exchange(t testing.TB, tokens map[string]any) string {
	t.Helper()
	_, err := r.Exchanger(t, r.Internal).Exchange(context.Background(), wire.Request{
		SubjectToken: secret.NewText(tokens["access_token"].(string)), Scopes: oauth.NewScopes(mailRead), Tool: "test",
	})
	var e *wire.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		t.Fatal(err)
	case e.Reason != "":
		return string(e.Reason)
	}
	return string(e.Code)
}

// refresh uses the refresh token: "" or the error.
func (r *rig) refresh(t testing.TB) string {
	t.Helper()
	status, out := r.Token(t, r.visit.Refresh(r.tokens["refresh_token"].(string)))
	if status == http.StatusOK {
		r.tokens = out
		return ""
	}
	return out["error"].(string)
}

// as connects with a role, bound to a tenant.
func (r *rig) as(t testing.TB, role string, id tenant.ID) *pgx.Conn {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, r.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, sql := range []string{`SET ROLE ` + role, `SELECT set_config('app.tenant_id', '` + id.String() + `', false)`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// exec runs a statement on the default tenant's rows.
func (r *rig) exec(t testing.TB, sql string) {
	t.Helper()
	if _, err := r.as(t, "latchkey_runtime", tenant.DefaultID).Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// stored is the state of the only credential and grant of a tenant.
type stored struct {
	status, lastError, reason string
	access, refresh, named    bool
	version                   int64
}

func (r *rig) stored(t testing.TB, id tenant.ID) stored {
	t.Helper()
	var s stored
	if err := r.as(t, "latchkey_runtime", id).QueryRow(context.Background(), `SELECT k.status, k.last_error, g.revoked_reason,
			k.access_token IS NOT NULL, k.refresh_token IS NOT NULL, k.refresh_hash IS NOT NULL AND k.refresh_prefix IS NOT NULL, k.version
		FROM credentials k JOIN grants g ON g.tenant_id = k.tenant_id AND g.connection_id = k.connection_id ORDER BY g.created_at LIMIT 1`).
		Scan(&s.status, &s.lastError, &s.reason, &s.access, &s.refresh, &s.named, &s.version); err != nil {
		t.Fatal(err)
	}
	return s
}

// acted is how many log lines of events have a part.
func (r *rig) logged(part string) int {
	n := 0
	for line := range strings.Lines(r.Logs.String()) {
		if strings.Contains(line, `"signal":`) && strings.Contains(line, part) {
			n++
		}
	}
	return n
}
