package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
)

// TestDataKeysByAPI: data keys are shown without keys and rotated; what is sealed afterwards is sealed under the new one.
func TestDataKeysByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	w.visitor()
	const keys = "/tenants/default/data-keys"
	before := w.root.must(http.StatusOK, "GET", keys, nil).items()
	if len(before) != 1 || before[0]["state"] != "active" || before[0]["kek"] == "" {
		t.Fatal(before)
	}
	fresh := w.root.must(http.StatusOK, "POST", keys+"/rotate", nil).body["data_key"]
	after := w.root.must(http.StatusOK, "GET", keys, nil).items()
	if len(after) != 2 || after[0]["data_key"] != before[0]["data_key"] || after[0]["retired_at"] == nil || after[1]["data_key"] != fresh || after[1]["state"] != "active" {
		t.Errorf("%v, fresh %v", after, fresh)
	}
	w.root.must(http.StatusCreated, "POST", "/tenants", map[string]any{"slug": "unused"})
	if out := w.root.must(http.StatusOK, "POST", "/tenants/unused/data-keys/rotate", nil).body; out["data_key"] != nil || out["note"] == "" {
		t.Errorf("%v", out)
	}
	if out := w.root.must(http.StatusOK, "GET", "/tenants/unused/data-keys", nil).items(); len(out) != 0 {
		t.Errorf("%v", out)
	}
	if n := strings.Count(w.root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=admin.act", nil).raw, `"actor":"operator:`+w.root.id+`","outcome":"ok","detail":"data key rotated to `+fmt.Sprint(fresh)); n != 1 {
		t.Errorf("%d rotations in the trail", n)
	}
}

// TestDataKeysAreBounded: whoever may rotate a tenant's data key cannot make so many of them that a server cannot unwrap them all in the
// time it has for that, which would be the end of the tenant.
func TestDataKeysAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	const keys = "/tenants/acme/data-keys"
	status, detail := http.StatusOK, ""
	for n := 0; n < 100 && status == http.StatusOK; n++ {
		out := w.acme.own.call("POST", keys+"/rotate", nil)
		status, detail = out.status, out.raw
	}
	if status != http.StatusUnprocessableEntity || !strings.Contains(detail, "delete-old") {
		t.Errorf("the last of 100: %d %s", status, detail)
	}
	if n := len(w.acme.own.must(http.StatusOK, "GET", keys, nil).items()); n != operator.MaxDataKeys {
		t.Errorf("%d keys", n)
	}
}

func jwksOf(t *testing.T, s *authtest.Server) (keys jose.JSONWebKeySet) {
	t.Helper()
	resp, err := http.Get(s.URL + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestLongWorkByAPI: moving what is sealed and verifying the trail are begun by one request, once, and asked about by others; a server
// does them; what somebody has changed in the trail is found.
func TestLongWorkByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	const keys, trail = "/tenants/default/data-keys", "/tenants/default/audit/verify"
	old := w.root.must(http.StatusOK, "GET", keys, nil).items()[0]["data_key"]
	w.root.must(http.StatusOK, "POST", keys+"/rotate", nil)
	begun := w.root.must(http.StatusAccepted, "POST", keys+"/rewrap", nil).body
	if again := w.root.must(http.StatusAccepted, "POST", keys+"/rewrap", nil).body; again["id"] != begun["id"] || begun["finished_at"] != nil || begun["progress"] != nil {
		t.Errorf("%v, then %v", begun, again)
	}
	w.s.SealAudit(t)
	verifying := w.root.must(http.StatusAccepted, "POST", trail, nil).body
	w.s.GoOnWorking(t)
	done := w.root.must(http.StatusOK, "GET", keys+"/rewrap/"+begun["id"].(string), nil).body
	progress, _ := done["progress"].(map[string]any)
	if left, _ := progress["values_left"].(map[string]any); done["finished_at"] == nil || progress["rows_done"].(float64) < 2 || left[fmt.Sprint(old)] != nil {
		t.Errorf("%v", done)
	}
	if err := w.exchange(v.access); err != nil {
		t.Errorf("what was moved does not open: %v", err)
	}
	report := func(begun map[string]any) map[string]any {
		t.Helper()
		out := w.root.must(http.StatusOK, "GET", trail+"/"+begun["id"].(string), nil).body
		found, _ := out["report"].(map[string]any)
		if out["finished_at"] == nil || found == nil || found["events"].(float64) < 3 {
			t.Fatalf("%v", out)
		}
		return found
	}
	if got := report(verifying); len(got["findings"].([]any)) != 0 || got["attested_seq"] != got["head_seq"] {
		t.Errorf("%v", got)
	}
	w.owner(`ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY`, `UPDATE audit_events SET detail = 'another' WHERE seq = 2`)
	verifying = w.root.must(http.StatusAccepted, "POST", trail, nil).body
	w.s.GoOnWorking(t)
	if got := report(verifying); len(got["findings"].([]any)) == 0 {
		t.Errorf("%v", got)
	}
	for path, id := range map[string]any{keys + "/rewrap/": verifying["id"], trail + "/": begun["id"]} { // another kind of work
		if out := w.root.call("GET", path+id.(string), nil); out.status != http.StatusNotFound {
			t.Errorf("%s%s: %d", path, id, out.status)
		}
	}
	begins := w.root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=admin.act", nil).raw
	if strings.Count(begins, `"detail":"rewrap begun`) != 1 || strings.Count(begins, `"detail":"verify begun`) != 2 {
		t.Errorf("%s", begins)
	}
}

// TestLongWorkOfATenantThatIsGone: work that was begun for a tenant which was erased meanwhile ends, and holds up nobody else's.
func TestLongWorkOfATenantThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled() // has begun both kinds for each
	w.root.must(http.StatusOK, "POST", "/tenants/acme/suspend", nil)
	w.root.must(http.StatusOK, "DELETE", "/tenants/acme?confirm=acme", nil)
	w.s.GoOnWorking(t)
	for path, id := range map[string]uuid.UUID{"data-keys/rewrap/": w.globex.rewrap, "audit/verify/": w.globex.verify} {
		if out := w.globex.own.must(http.StatusOK, "GET", "/tenants/globex/"+path+id.String(), nil).body; out["finished_at"] == nil {
			t.Errorf("%v", out)
		}
	}
	var open int
	conn, err := pgx.Connect(ctx, w.s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE kind <> 'revoke' AND finished_at IS NULL`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d open jobs %v", open, err)
	}
}

// TestExportsByAPI: the trail and a tenant's rows are written as the commands write them: a verified chain, and no secret, address or
// other tenant's row. Each export stands in the trail.
func TestExportsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	w.s.SealAudit(t)
	export := w.acme.own.must(http.StatusOK, "GET", "/tenants/acme/audit/export", nil)
	if export.header.Get("Content-Type") != "application/jsonl" {
		t.Errorf("%v", export.header)
	}
	reports, err := audit.VerifyFile(strings.NewReader(export.raw), int64(len(export.raw)), jwksOf(t, w.acme.s), nil)
	if err != nil || len(reports) != 1 || !reports[0].OK() || reports[0].Events < 3 || reports[0].Attested != reports[0].Head || reports[0].Tenant != w.acme.s.Tenant.String() {
		t.Fatalf("%v %+v", err, reports)
	}
	if out := w.acme.own.must(http.StatusOK, "GET", "/tenants/acme/audit/export?until=2020-01-01T00:00:00Z", nil); out.raw != "" {
		t.Errorf("%s", out.raw)
	}
	for _, q := range []string{"since=yesterday", "until=x"} {
		if out := w.root.call("GET", "/tenants/acme/audit/export?"+q, nil); out.status != http.StatusBadRequest {
			t.Errorf("%s: %d", q, out.status)
		}
	}
	rows := w.acme.own.must(http.StatusOK, "GET", "/tenants/acme/export", nil).raw
	for _, want := range []string{`{"table":"tenants"`, w.acme.grant.String(), w.acme.client, `"table":"signing_keys"`} {
		if !strings.Contains(rows, want) {
			t.Errorf("the export lacks %s", want)
		}
	}
	for _, other := range []string{w.globex.grant.String(), w.globex.subject.String(), "@example.com", `"secret`, `"sealed_key"`, `"refresh_token":`} {
		if strings.Contains(rows, other) {
			t.Errorf("the export has %s", other)
		}
	}
	trail := w.root.must(http.StatusOK, "GET", "/tenants/acme/audit?kind=admin.act", nil).raw
	if strings.Count(trail, `"detail":"audit export"`) != 2 || strings.Count(trail, `"detail":"tenant export"`) != 1 {
		t.Errorf("%s", trail)
	}
}

// TestExportsAreBounded: an export that breaks off half-way is cut off, and exports beyond the two that a server writes at once, or beyond
// the one of a tenant, whose administrators would else keep out everybody, are told when to come again; when one has ended the next is served.
func TestExportsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	conn, err := pgx.Connect(ctx, w.s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `BEGIN; LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE`); err != nil { // the tenant's own line is written before
		t.Fatal(err)
	}
	get := func(slug string) (int, error) {
		r, err := http.NewRequest("GET", w.s.Admin+admin.Base+"/tenants/"+slug+"/export", nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Authorization", "Bearer "+w.root.token)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	full := func(slug string) {
		t.Helper()
		if out := w.root.call("GET", "/tenants/"+slug+"/export", nil); out.status != http.StatusServiceUnavailable || out.header.Get("Retry-After") == "" {
			t.Errorf("one more, of %s: %d %s", slug, out.status, out.raw)
		}
	}
	ended := make(chan error, 2)
	for n, slug := range []string{"acme", "globex"} {
		go func() { _, err := get(slug); ended <- err }()
		for waiting := 0; waiting <= n; {
			if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT l.granted`).Scan(&waiting); err != nil {
				t.Fatal(err)
			}
			if len(ended) > 0 {
				t.Fatal(<-ended)
			}
		}
		full(slug)
	}
	full("default")
	if _, err := conn.Exec(ctx, `SELECT pg_cancel_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT l.granted`); err != nil {
		t.Fatal(err) // as a database does with those that wait for a table too long
	}
	for range cap(ended) {
		if err := <-ended; err == nil {
			t.Error("half an export ends as if it were whole")
		}
	}
	if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	w.root.must(http.StatusOK, "GET", "/tenants/default/export", nil)
}

// TestDefaultTenantsKeys: the default tenant's own administrator cannot end the tokens of the deployment's administrators, which its key
// signs: not at once and not later. Another tenant's rotates its keys.
func TestDefaultTenantsKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	own := w.admin(tenant.DefaultID, admin.TenantScopes())
	const rotate = "/tenants/default/keys/rotate"
	before := w.root.must(http.StatusOK, "GET", "/tenants/default/keys", nil).raw
	for _, body := range []map[string]any{{"purpose": "access_token", "at_once": true}, {"purpose": "access_token"}, {}, {"at_once": true}} {
		if out := own.call("POST", rotate, body); out.status != http.StatusForbidden || out.body["code"] != "deployment_only" {
			t.Errorf("%v: %d %s", body, out.status, out.raw)
		}
	}
	if after := w.root.must(http.StatusOK, "GET", "/tenants/default/keys", nil).raw; after != before {
		t.Errorf("keys changed: %s\n%s", before, after)
	}
	own.must(http.StatusOK, "POST", rotate, map[string]any{"purpose": "grant"})
	w.acme.own.must(http.StatusOK, "POST", "/tenants/acme/keys/rotate", map[string]any{"purpose": "access_token", "at_once": true})
	w.root.must(http.StatusOK, "GET", "/tenants", nil) // the deployment's administrator goes on
}
