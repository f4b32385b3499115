package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

var update = flag.Bool("update", false, "write golden files")

// asOwner runs statements as the database's owner.
func asOwner(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatal(s, err)
		}
	}
}

// sealAudit does what a running server does every few seconds.
func sealAudit(t testing.TB, s *authtest.Server, log *slog.Logger) {
	t.Helper()
	db := s.DB(t)
	kek, err := vault.LoadKEK(s.KEKFile)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(vault.Config{KEK: kek, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oauth.ParseIssuerURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	known, err := tenant.NewDirectory(&tenant.Tenant{ID: tenant.DefaultID, Slug: "default", Status: tenant.Active, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyset.New(keyset.Config{Store: db, Vault: v, Tenants: func() *tenant.Directory { return known }})
	if err != nil {
		t.Fatal(err)
	}
	sealer := &audit.Sealer{Store: db, Log: log, Now: time.Now, Keys: func(ctx context.Context, t tenant.ID) (audit.Signer, error) { return keys.For(ctx, t) }}
	if err := sealer.Round(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
}

func auditOf(t testing.TB, s *authtest.Server) []audit.Sealed {
	t.Helper()
	found, err := s.DB(t).SearchAudit(context.Background(), tenant.DefaultID, audit.Query{Limit: audit.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(found)
	return found
}

// lines renders events with names for what differs from run to run.
func lines(events []audit.Sealed) string {
	names := map[string]string{}
	name := func(prefix, value string) string {
		if value == "" || value == uuid.Nil.String() {
			return "-"
		}
		if names[value] == "" {
			names[value] = fmt.Sprintf("%s%d", prefix, len(names)+1)
		}
		return names[value]
	}
	var out strings.Builder
	var keys []string // made at their first use, in whatever order
	for _, e := range events {
		if strings.HasPrefix(string(e.Kind), "key.") {
			purpose, _, _ := strings.Cut(e.Detail, " ")
			keys = append(keys, fmt.Sprintf("%s by %s: %s %q\n", e.Kind, e.Actor, e.Outcome, purpose))
			continue
		}
		fmt.Fprintf(&out, "%s by %s: %s %q subject=%s client=%s grant=%s connection=%s resource=%s scopes=%s tool=%s ms=%d request=%v caller=%s source=%s\n",
			e.Kind, e.Actor, e.Outcome, e.Detail, name("subject", e.Subject.String()), name("client", e.Client), name("grant", e.Grant.String()), name("connection", e.Connection.String()),
			e.Resource, strings.Join(e.Scopes, ","), e.Tool, e.DurationMS, e.RequestID != "", e.CallerRequestID, e.Source)
	}
	slices.Sort(keys)
	return strings.Join(keys, "") + out.String()
}

// TestAuditOfAFlow: issue 5 part 5, A26: the events of a whole life, exactly; nothing secret and nobody's address in them.
func TestAuditOfAFlow(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	x := s.Exchanger(t, s.Internal)
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read accounts")
	v.Deny = true
	if q, _ := s.Walk(t, v); q.Get("error") != "access_denied" {
		t.Fatal(q)
	}
	v.Deny = false
	q, _ := s.Walk(t, v)
	code := q.Get("code")
	status, out := s.Token(t, v.Redeem(code))
	if status != http.StatusOK {
		t.Fatal(status, out)
	}
	r := request(out, gmailRead)
	r.RequestID = "rs-request-1"
	got, err := x.Exchange(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Exchange(t.Context(), request(out, "https://www.googleapis.com/auth/drive.readonly")); err == nil {
		t.Fatal("more than the token carries")
	}
	if err := x.ReportOutcomes(t.Context(), []exchange.Outcome{{Tenant: claim(t, out, "tid"), Grant: claim(t, out, "gid"), Tool: "gmail_search_threads", Outcome: "ok", DurationMS: 42, RequestID: "rs-request-1"}}); err != nil {
		t.Fatal(err)
	}
	first := out["refresh_token"].(string)
	for range 2 { // the second is a repeat
		if status, out = s.Token(t, v.Refresh(first)); status != http.StatusOK {
			t.Fatal(status, out)
		}
	}
	if status, out := s.Token(t, with(v.Refresh(out["refresh_token"].(string)), "scope", "accounts")); status != http.StatusOK {
		t.Fatal(status, out)
	}
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	if _, err := x.Exchange(t.Context(), r); err != nil { // refreshes at Google
		t.Fatal(err)
	}
	again := s.VisitAs(t, v.Client) // signs in once more, and revokes
	again.Query.Set("scope", "gmail.read accounts")
	second := s.SignIn(t, again)
	for range 2 { // revoking what is revoked is no event
		if status, _, out := post(t, s.URL+"/revoke", url.Values{"token": {second["refresh_token"].(string)}, "client_id": {v.Client}}, "", ""); status != http.StatusOK {
			t.Fatal(status, out)
		}
	}
	for range 2 { // the first refresh token, long after: reuse; nor is reusing it again
		if status, out := s.Token(t, v.Refresh(first)); status != http.StatusBadRequest {
			t.Fatal(status, out)
		}
	}
	events := auditOf(t, s)
	text := lines(events)
	golden := filepath.Join("testdata", "audit.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("not the golden events (-update writes them):\n%s", text)
	}
	var stored string // every column
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '` + tenant.DefaultID.String() + `', false)`} {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.QueryRow(t.Context(), `SELECT string_agg(to_jsonb(e)::text, '') FROM audit_events e`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{code, first, out["access_token"].(string), out["refresh_token"].(string), got.AccessToken, "alice", "@", `"source": "127.0.0.1`, v.Verifier} {
		if strings.Contains(stored, hidden) {
			t.Errorf("%q stands in the trail", hidden)
		}
	}
	if !strings.Contains(stored, "127.0.0.0/24") {
		t.Error("where requests came from is not in the trail")
	}
}

// TestNoActWithoutItsEvent: DESIGN §4: while the trail cannot be written every act is answered 503 and has not happened;
// afterwards the same code, refresh token and form work.
func TestNoActWithoutItsEvent(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	x := s.Exchanger(t, s.Internal)
	v, other := s.NewVisit(t), s.NewVisit(t)
	tokens := s.SignIn(t, v)
	q, _ := s.Walk(t, other)
	revoked := s.SignIn(t, s.VisitAs(t, v.Client))
	managed := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "none"})
	const columns = `(tenant_id, kind, actor, outcome, detail, subject_id, client_id, grant_id, connection_id, resource, scopes, tool, duration_ms, request_id, caller_request_id, source)`
	state := func() string {
		var out strings.Builder
		for _, table := range []string{"subjects", "connections", "credentials", "clients", "consents", "grants", "audit_events"} {
			fmt.Fprintf(&out, "%s %d\n", table, rowsOf(t, s.DSN, `SELECT count(*) FROM `+table))
		}
		fmt.Fprintln(&out, rowsOf(t, s.DSN, `SELECT coalesce(sum(generation), 0) FROM grants`), rowsOf(t, s.DSN, `SELECT count(*) FROM grants WHERE revoked_at IS NOT NULL`),
			rowsOf(t, s.DSN, `SELECT count(*) FROM grants WHERE redeemed_at IS NOT NULL`))
		return out.String()
	}
	doubt := func(name string, status int, out map[string]any) {
		t.Helper()
		if status != http.StatusServiceUnavailable || out["error"] != "temporarily_unavailable" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	acts := map[string]func() (int, map[string]any){
		"code":    func() (int, map[string]any) { return s.Token(t, other.Redeem(q.Get("code"))) },
		"refresh": func() (int, map[string]any) { return s.Token(t, v.Refresh(tokens["refresh_token"].(string))) },
		"revoke": func() (int, map[string]any) {
			status, _, out := post(t, s.URL+"/revoke", url.Values{"token": {revoked["refresh_token"].(string)}, "client_id": {v.Client}}, "", "")
			return status, out
		},
		"register": func() (int, map[string]any) {
			return s.Post(t, "/register", "application/json", `{"redirect_uris":["http://127.0.0.1:7/callback"],"token_endpoint_auth_method":"none","client_name":"New"}`)
		},
		"delete a client": func() (int, map[string]any) {
			req, err := http.NewRequest(http.MethodDelete, managed["registration_client_uri"].(string), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+managed["registration_access_token"].(string))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			out := map[string]any{}
			body, _ := io.ReadAll(resp.Body)
			_ = json.Unmarshal(body, &out)
			return resp.StatusCode, out
		},
	}
	names := []string{"code", "refresh", "revoke", "register", "delete a client"}
	asOwner(t, s.DSN, `REVOKE INSERT ON audit_events FROM latchkey_runtime, latchkey_jobs`)
	before := state()
	for _, name := range names {
		status, out := acts[name]()
		doubt(name, status, out)
	}
	for name, scope := range map[string]string{"issued": gmailRead, "refused": "https://mail.google.com/"} {
		_, err := x.Exchange(t.Context(), request(tokens, scope))
		var e *exchange.Error
		if !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable || e.Code != oauth.TemporarilyUnavailable {
			t.Errorf("exchange %s: %v", name, err)
		}
	}
	if err := x.ReportOutcomes(t.Context(), []exchange.Outcome{{Tenant: claim(t, tokens, "tid"), Grant: claim(t, tokens, "gid"), Tool: "t", Outcome: "ok"}}); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("outcomes: %v", err)
	}
	for _, deny := range []bool{false, true} {
		w := s.VisitAs(t, v.Client)
		w.Deny = deny
		if got, p := s.Walk(t, w); got.Get("code") != "" || (got != nil && got.Get("error") != "temporarily_unavailable") || (got == nil && p.Status != http.StatusServiceUnavailable) {
			t.Errorf("sign-in, deny %v: %v %+v", deny, got, p)
		}
	}
	if after := state(); after != before {
		t.Errorf("half done:\n%s\nbefore:\n%s", after, before)
	}
	asOwner(t, s.DSN, `GRANT INSERT `+columns+` ON audit_events TO latchkey_runtime, latchkey_jobs`)
	for _, name := range names {
		if status, out := acts[name](); status >= 300 {
			t.Errorf("%s afterwards: %d %v", name, status, out)
		}
	}
	if _, err := x.Exchange(t.Context(), request(tokens, gmailRead)); err != nil {
		t.Errorf("exchange afterwards: %v", err)
	}
}

// TestAuditCommands: verify finds nothing wrong with what nobody touched and says where an edit was, from the database and
// from an export, by the tenant's own keys; search finds by id; reading the trail stands in the trail.
func TestAuditCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	command := func(args ...string) (string, error) {
		var out, errOut bytes.Buffer
		if code := app.Main(context.Background(), append([]string{"audit"}, args...), &out, &errOut); code != 0 {
			return out.String(), errors.New(errOut.String())
		}
		return out.String(), nil
	}
	v := s.NewVisit(t)
	out := s.SignIn(t, v)
	var logged bytes.Buffer
	sealAudit(t, s, slog.New(slog.NewJSONHandler(&logged, nil)))
	var line struct{ Anchor string }
	if err := json.Unmarshal(logged.Bytes(), &line); err != nil || line.Anchor == "" {
		t.Fatal(logged.String(), err)
	}
	dir := t.TempDir()
	jwks, file := filepath.Join(dir, "jwks.json"), filepath.Join(dir, "audit.jsonl")
	resp := get(t, s.URL+"/jwks")
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(jwks, body, 0o600); err != nil {
		t.Fatal(err)
	}
	database := []string{"--database-url", s.DSN}
	byKEK := append([]string{"verify", "--kek-file", s.KEKFile}, database...)
	byJWKS := append([]string{"verify", "--jwks-file", jwks}, database...)
	for _, args := range [][]string{byKEK, byJWKS, append(byKEK, "--anchor", line.Anchor), append(byJWKS, "--json")} {
		if got, err := command(args...); err != nil {
			t.Errorf("%v: %s %v", args, got, err)
		}
	}
	// During a change of keys the data keys are still wrapped by the other one.
	next := filepath.Join(dir, "next.json")
	if _, err := vault.CreateKEK(next); err != nil {
		t.Fatal(err)
	}
	changing := append([]string{"verify", "--kek-file", next}, database...)
	if got, err := command(append(changing, "--from-kek-file", s.KEKFile)...); err != nil {
		t.Errorf("during a change of keys: %s %v", got, err)
	}
	if got, err := command(changing...); err == nil {
		t.Errorf("a wrong key: %s", got)
	}
	var found struct {
		audit.Sealed
		Tenant string
	}
	got, err := command(append([]string{"search", "--json", "--kind", "grant.code_redeemed", "--subject", claim(t, out, "sub"), "--grant", claim(t, out, "gid"), "--client", v.Client, "--since", "2020-01-01T00:00:00Z"}, database...)...)
	if err != nil || json.Unmarshal([]byte(got), &found) != nil || found.Kind != audit.CodeRedeemed || found.Tenant != "default" || found.Seq == 0 || found.RequestID == "" {
		t.Errorf("%s %v", got, err)
	}
	if got, err := command(append([]string{"search", "--id", found.RequestID}, database...)...); err != nil || strings.Count(got, "\n") != 2 || !strings.Contains(got, "grant.code_redeemed") {
		t.Errorf("%s %v", got, err)
	}
	sealAudit(t, s, slog.New(slog.DiscardHandler))
	export, err := command(append([]string{"export"}, database...)...)
	if err != nil {
		t.Fatal(err)
	}
	offline := []string{"verify", "--file", file, "--jwks-file", jwks}
	keep := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep(export)
	if got, err := command(append(offline, "--anchor", line.Anchor)...); err != nil {
		t.Errorf("%s %v", got, err)
	}
	// A part of the chain verifies too: from the second sealing on.
	cut := auditOf(t, s)
	since := cut[slices.IndexFunc(cut, func(e audit.Sealed) bool { return e.Kind == audit.AdminAct })].At
	partial, err := command(append([]string{"export", "--since", since.Format(time.RFC3339Nano), "--until", since.Add(time.Microsecond).Format(time.RFC3339Nano)}, database...)...)
	if err != nil || strings.Count(partial, `"type":"event"`) != 2 || strings.Count(partial, `"type":"checkpoint"`) != 1 {
		t.Fatalf("%s %v", partial, err)
	}
	keep(partial)
	if got, err := command(offline...); err != nil {
		t.Errorf("a part: %s %v", got, err)
	}
	for name, change := range map[string]func(string) string{
		"edit":         func(s string) string { return strings.Replace(s, `"kind":"login"`, `"kind":"client.changed"`, 1) },
		"other tenant": func(s string) string { return strings.Replace(s, `"from_hash":"`, `"from_hash":"00`, 1) },
		"line gone":    func(s string) string { return cutLine(s, 4) },
		"lines swapped": func(s string) string {
			l := strings.SplitAfter(s, "\n")
			l[3], l[4] = l[4], l[3]
			return strings.Join(l, "")
		},
		"end gone": func(s string) string {
			l := strings.SplitAfter(s, "\n")
			return strings.Join(l[:len(l)-3], "") + l[len(l)-2]
		},
		"no checkpoints":       func(s string) string { return without(s, `"type":"checkpoint"`) },
		"checkpoint rewritten": func(s string) string { return strings.Replace(s, `"jws":"ey`, `"jws":"ez`, 1) },
	} {
		keep(change(export))
		if got, err := command(offline...); err == nil {
			t.Errorf("%s in an export is not found: %s", name, got)
		}
	}
	asOwner(t, s.DSN, `ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY`, `UPDATE audit_events SET client_id = 'somebody-else' WHERE kind = 'login'`)
	for _, args := range [][]string{byKEK, byJWKS} {
		got, err := command(args...)
		if err == nil || !strings.Contains(got, "is not the one that was sealed here") || !strings.Contains(err.Error(), "1 of 1") {
			t.Errorf("%v: %s %v", args, got, err)
		}
	}
	var reports []audit.Report
	got, err = command(append(byKEK, "--json")...)
	if err == nil || json.Unmarshal([]byte(got), &reports) != nil || len(reports) != 1 || len(reports[0].Findings) != 1 {
		t.Errorf("%s %v", got, err)
	}
	for want, args := range map[string][]string{
		"say whose signatures count": append([]string{"verify"}, database...),
		"--jwks-file":                {"verify", "--file", file},
		"KEK_URI must begin with":    append([]string{"verify", "--kek-uri", "file:///kek.json"}, database...),
		"an anchor is tenant":        append(byKEK, "--anchor", "x"),
		"has no chain here":          append(offline, "--anchor", uuid.NewString()+":1:"+strings.Repeat("0", 64)),
		"--kind must be one of":      append([]string{"search", "--kind", "nonsense"}, database...),
		"--limit must be":            append([]string{"search", "--limit", "1001"}, database...),
		"--before needs":             append([]string{"search", "--before", "5"}, database...),
		"no tenant":                  append([]string{"export", "--tenant", "nobody"}, database...),
	} {
		keep(export)
		if got, err := command(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s %v", want, got, err)
		}
	}
}

func cutLine(s string, n int) string {
	l := strings.SplitAfter(s, "\n")
	return strings.Join(slices.Delete(l, n, n+1), "")
}

func without(s, what string) string {
	var out strings.Builder
	for _, l := range strings.SplitAfter(s, "\n") {
		if !strings.Contains(l, what) {
			out.WriteString(l)
		}
	}
	return out.String()
}

// TestCheckpointIsNoAccessToken: RFC 8725 §3.11: one key signs both, and neither passes for the other.
func TestCheckpointIsNoAccessToken(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	out := s.SignIn(t, v)
	sealAudit(t, s, slog.New(slog.DiscardHandler))
	var checkpoint audit.Checkpoint
	for c, err := range s.DB(t).AuditCheckpoints(t.Context(), tenant.DefaultID, 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		checkpoint = c
	}
	if checkpoint.JWS == "" {
		t.Fatal("no checkpoint")
	}
	r := request(out, gmailRead)
	r.SubjectToken = secret.NewText(checkpoint.JWS)
	_, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("%+v", e)
	}
	asOwner(t, s.DSN, `ALTER TABLE audit_checkpoints NO FORCE ROW LEVEL SECURITY`, `UPDATE audit_checkpoints SET jws = '`+out["access_token"].(string)+`'`)
	var text, errOut bytes.Buffer
	if code := app.Main(t.Context(), []string{"audit", "verify", "--kek-file", s.KEKFile, "--database-url", s.DSN}, &text, &errOut); code == 0 || !strings.Contains(text.String(), "no checkpoint of the key it names") {
		t.Errorf("%s %s", text.String(), errOut.String())
	}
}
