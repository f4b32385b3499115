package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// visitor is a person of the default tenant who has signed in with a client.
type visitor struct {
	visit                      *authtest.Visit
	access, refresh            string
	grant, subject, connection string
}

func (w *world) visitor() *visitor {
	w.t.Helper()
	v := &visitor{visit: w.s.NewVisit(w.t)}
	tokens := w.s.SignIn(w.t, v.visit)
	v.access, v.refresh = tokens["access_token"].(string), tokens["refresh_token"].(string)
	found := w.root.must(http.StatusOK, "GET", "/tenants/default/grants?status=live&client="+url.QueryEscape(v.visit.Client), nil).items()
	if len(found) != 1 {
		w.t.Fatal(found)
	}
	v.grant, v.subject, v.connection = found[0]["id"].(string), found[0]["subject"].(string), found[0]["connection"].(string)
	return v
}

func (w *world) exchange(access string) error {
	_, err := w.s.Exchanger(w.t, w.s.Internal).Exchange(ctx, exchange.Request{SubjectToken: secret.NewText(access), Scopes: oauth.NewScopes("https://www.googleapis.com/auth/drive.readonly")})
	return err
}

// TestConnectionsByAPI: a connection is listed without token and address; marked, it asks for a sign-in; disconnected, it is gone
// with its grants, and Google is told.
func TestConnectionsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	const list = "/tenants/default/connections"
	all := w.root.must(http.StatusOK, "GET", list+"?status=active&subject="+v.subject, nil)
	if len(all.items()) != 1 || strings.Contains(all.raw, "@example.com") || strings.Contains(all.raw, "ya29") {
		t.Errorf("%s", all.raw)
	}
	if none := w.root.must(http.StatusOK, "GET", list+"?subject="+uuid.NewString(), nil).items(); len(none) != 0 {
		t.Errorf("%v", none)
	}
	if out := w.root.call("GET", list+"?status=broken", nil); out.status != http.StatusUnprocessableEntity {
		t.Errorf("%d", out.status)
	}
	if out := w.root.call("GET", list+"?subject=x", nil); out.status != http.StatusBadRequest {
		t.Errorf("%d", out.status)
	}
	one := list + "/" + v.connection
	if err := w.exchange(v.access); err != nil {
		t.Fatal(err)
	}
	w.root.must(http.StatusNoContent, "POST", one+"/require-reauth", nil)
	if err := w.exchange(v.access); err == nil || !strings.Contains(err.Error(), "interaction_required") {
		t.Errorf("a marked connection serves: %v", err)
	}
	if out := w.root.must(http.StatusOK, "GET", one, nil).body; out["status"] != "needs_reauth" || out["last_error"] != "operator_request" {
		t.Errorf("%v", out)
	}
	again := w.visitor() // the person signs in, which repairs it
	if err := w.exchange(again.access); err != nil || again.connection != v.connection {
		t.Errorf("after signing in again: %v", err)
	}
	w.root.must(http.StatusNoContent, "POST", one+"/disconnect", nil)
	for _, act := range []string{"/disconnect", "/require-reauth"} {
		if out := w.root.call("POST", one+act, nil); out.status != http.StatusNotFound {
			t.Errorf("%s of one that is gone: %d", act, out.status)
		}
	}
	if status, out := w.s.Token(t, again.visit.Refresh(again.refresh)); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("a grant of it lives: %d %v", status, out)
	}
	w.s.RevokeAtGoogle(t)
	if n := w.s.Google.Count("POST /revoke"); n != 1 {
		t.Errorf("%d tokens withdrawn at Google", n)
	}
	if out := w.root.must(http.StatusOK, "GET", one, nil).body; out["status"] != "unlinked" || out["default"] != false {
		t.Errorf("%v", out)
	}
	trail := w.root.must(http.StatusOK, "GET", "/tenants/default/audit?subject="+v.subject, nil).raw
	for _, want := range []string{`"kind":"connection.disconnected"`, `"kind":"connection.needs_reauth"`, `"actor":"operator:` + w.root.id + `"`} {
		if !strings.Contains(trail, want) {
			t.Errorf("no %s in %s", want, trail)
		}
	}
}

// TestGrantsAndSessionsByAPI: a revoked grant gives nothing more; an ended session is over; both once.
func TestGrantsAndSessionsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, other := w.visitor(), w.visitor()
	const grants = "/tenants/default/grants"
	if out := w.root.must(http.StatusOK, "GET", grants+"?subject="+v.subject, nil).items(); len(out) != 2 {
		t.Errorf("%v", out)
	}
	if out := w.root.call("GET", grants+"?status=x", nil); out.status != http.StatusUnprocessableEntity {
		t.Errorf("%d", out.status)
	}
	for range 2 { // twice is no error
		w.root.must(http.StatusNoContent, "DELETE", grants+"/"+v.grant, nil)
	}
	out := w.root.must(http.StatusOK, "GET", grants+"/"+v.grant, nil).body
	if out["status"] != "revoked" || out["revoked_reason"] != "operator_request" {
		t.Errorf("%v", out)
	}
	if status, _ := w.s.Token(t, v.visit.Refresh(v.refresh)); status != http.StatusBadRequest {
		t.Errorf("it refreshes: %d", status)
	}
	if err := w.exchange(v.access); err == nil {
		t.Error("its access token is exchanged")
	}
	if status, _ := w.s.Token(t, other.visit.Refresh(other.refresh)); status != http.StatusOK {
		t.Errorf("another grant of the person ended too: %d", status)
	}
	if out := w.root.must(http.StatusOK, "GET", grants+"?status=revoked", nil).items(); len(out) != 1 || out[0]["id"] != v.grant {
		t.Errorf("%v", out)
	}
	if n := len(w.root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=grant.revoked&grant="+v.grant, nil).items()); n != 1 {
		t.Errorf("%d events of one revocation", n)
	}

	const sessions = "/tenants/default/sessions"
	begun := w.root.must(http.StatusOK, "GET", sessions+"?subject="+v.subject, nil).items()
	if len(begun) < 2 {
		t.Fatal(begun)
	}
	first := begun[0]["id"].(string)
	w.root.must(http.StatusNoContent, "DELETE", sessions+"/"+first, nil)
	w.root.must(http.StatusNoContent, "DELETE", sessions+"/"+first, nil)
	if out := w.root.must(http.StatusOK, "POST", "/tenants/default/subjects/"+v.subject+"/end-sessions", nil).body; out["ended"] != float64(len(begun)-1) {
		t.Errorf("%v", out)
	}
	for _, one := range w.root.must(http.StatusOK, "GET", sessions, nil).items() {
		if one["ended_at"] == nil {
			t.Errorf("%v goes on", one)
		}
	}
	if n := len(w.root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=admin.act&subject="+v.subject, nil).items()); n != len(begun) {
		t.Errorf("%d events of %d ends", n, len(begun))
	}
}

// TestClientsByAPI: a client is entered with a secret that is shown once and works; every kind is listed; a deleted one is gone.
func TestClientsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	const list = "/tenants/acme/clients"
	made := w.root.must(http.StatusCreated, "POST", list, map[string]any{"client_name": "Machine", "grant_types": []string{"client_credentials"}, "scope": "gmail.read", "token_endpoint_auth_method": "client_secret_post"})
	id, value := made.body["client_id"].(string), made.body["client_secret"].(string)
	f := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {value}, "resource": {w.acme.s.Resource}, "scope": {"gmail.read"}}
	if status, out := w.acme.s.Token(t, f); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}
	key := authtest.ClientKey(t, "k")
	keyed := w.root.must(http.StatusCreated, "POST", list, map[string]any{"client_name": "Keyed", "grant_types": []string{"client_credentials"}, "scope": "gmail.read", "token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(key)}).body
	if keyed["client_secret"] != nil {
		t.Errorf("%v", keyed)
	}
	signed := asserted(authtest.Assertion(t, key, keyed["client_id"].(string), w.acme.s.URL, func(*jwt.Claims) {}))
	signed.Set("resource", w.acme.s.Resource)
	if status, out := w.acme.s.Token(t, signed); status != http.StatusOK {
		t.Errorf("%d %v", status, out)
	}
	for name, body := range map[string]map[string]any{
		"no name":              {"grant_types": []string{"client_credentials"}, "scope": "gmail.read"},
		"a redirect on http":   {"client_name": "x", "grant_types": []string{"authorization_code"}, "redirect_uris": []string{"http://evil.example/cb"}},
		"an unknown grant":     {"client_name": "x", "grant_types": []string{"password"}},
		"a scope that is none": {"client_name": "x", "grant_types": []string{"client_credentials"}, "scope": "everything"},
	} {
		if out := w.root.call("POST", list, body); out.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, out.status, out.raw)
		}
	}
	for kind, want := range map[string]string{"static": id, "dynamic": w.acme.client, "document": w.acme.document} {
		out := w.root.must(http.StatusOK, "GET", list+"?kind="+kind, nil)
		if !strings.Contains(out.raw, want) || strings.Contains(out.raw, value) || strings.Count(out.raw, `"kind"`) != strings.Count(out.raw, `"kind":"`+kind+`"`) {
			t.Errorf("%s: %s", kind, out.raw)
		}
	}
	if n := len(w.root.must(http.StatusOK, "GET", list, nil).items()); n != 4 {
		t.Errorf("%d of all kinds", n)
	}
	if out := w.root.call("GET", list+"?kind=other", nil); out.status != http.StatusUnprocessableEntity {
		t.Errorf("%d", out.status)
	}
	for _, one := range []string{id, w.acme.client, w.acme.document} {
		path := list + "/" + url.PathEscape(one)
		if out := w.root.must(http.StatusOK, "GET", path, nil).body; out["client_id"] != one || out["client_name"] == "" {
			t.Errorf("%v", out)
		}
		w.root.must(http.StatusNoContent, "DELETE", path, nil)
		for _, method := range []string{"GET", "DELETE"} {
			if out := w.root.call(method, path, nil); out.status != http.StatusNotFound {
				t.Errorf("%s of one that is gone: %d", method, out.status)
			}
		}
	}
	if out := w.root.must(http.StatusOK, "GET", "/tenants/acme/grants/"+w.acme.grant.String(), nil).body; out["status"] != "revoked" || out["revoked_reason"] != "client_deleted" {
		t.Errorf("%v", out)
	}
}

// TestKeysAndTrailByAPI: keys are shown without keys, and rotated; the trail is searched, in pages, and who searched stands in it.
func TestKeysAndTrailByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	const keys = "/tenants/default/keys"
	before := w.root.must(http.StatusOK, "GET", keys, nil).items()
	done := w.root.must(http.StatusOK, "POST", keys+"/rotate", map[string]any{}).items()
	if len(before) != 2 || len(done) != 2 || done[0]["kid"] == nil || done[0]["signs_in_seconds"] != 420.0 {
		t.Errorf("%v %v", before, done)
	}
	if again := w.root.must(http.StatusOK, "POST", keys+"/rotate", map[string]any{"purpose": "grant"}).items(); len(again) != 1 || again[0]["kid"] != nil || again[0]["note"] == "" {
		t.Errorf("%v", again)
	}
	for _, body := range []map[string]any{{"purpose": "x"}, {"at_once": true}} {
		if out := w.root.call("POST", keys+"/rotate", body); out.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", body, out.status)
		}
	}
	if gone := w.root.must(http.StatusOK, "POST", keys+"/rotate", map[string]any{"purpose": "grant", "at_once": true}).items(); len(gone[0]["deleted"].([]any)) != 2 {
		t.Errorf("%v", gone)
	}

	const trail = "/tenants/default/audit"
	if out := w.root.call("GET", trail+"?kind=x", nil); out.status != http.StatusUnprocessableEntity {
		t.Errorf("%d", out.status)
	}
	for _, q := range []string{"grant=x", "since=yesterday", "until=x"} {
		if out := w.root.call("GET", trail+"?"+q, nil); out.status != http.StatusBadRequest {
			t.Errorf("%s: %d", q, out.status)
		}
	}
	ids := map[float64]bool{}
	next, pages := "", 0
	for ; pages == 0 || next != ""; pages++ {
		path := trail + "?limit=2&client=" + url.QueryEscape(v.visit.Client)
		if next != "" {
			path += "&cursor=" + next
		}
		out := w.root.must(http.StatusOK, "GET", path, nil)
		for _, e := range out.items() {
			ids[e["id"].(float64)] = true
		}
		next, _ = out.body["next_cursor"].(string)
	}
	if len(ids) < 3 || pages < 2 {
		t.Errorf("%d events on %d pages", len(ids), pages)
	}
	if n := len(w.root.must(http.StatusOK, "GET", trail+"?kind=admin.act&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z", nil).items()); n < pages {
		t.Errorf("%d searches recorded", n)
	}
	if n := len(w.root.must(http.StatusOK, "GET", trail+"?until=2020-01-01T00:00:00Z", nil).items()); n != 0 {
		t.Errorf("%d events before there were any", n)
	}
}

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
	for range cap(ended) { // they wait for the table no longer than the database lets them
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

// TestPeopleByAPI: a person's data are exported, which is recorded; erased for good, once confirmed, also while Google is away.
func TestPeopleByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	person := "/tenants/default/subjects/" + v.subject
	out := w.root.must(http.StatusOK, "GET", person+"/export", nil)
	if !strings.Contains(out.raw, "alice@example.com") || strings.Contains(out.raw, v.refresh) {
		t.Errorf("%s", out.raw)
	}
	if n := len(w.root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=subject.exported&subject="+v.subject, nil).items()); n != 1 {
		t.Errorf("%d exports recorded", n)
	}
	nobody := "/tenants/default/subjects/" + uuid.NewString()
	if out := w.root.call("GET", nobody+"/export", nil); out.status != http.StatusNotFound {
		t.Errorf("%d", out.status)
	}
	for _, confirm := range []string{"", uuid.NewString()} {
		if out := w.root.call("POST", person+"/erase", map[string]any{"confirm": confirm}); out.status != http.StatusUnprocessableEntity {
			t.Errorf("%d", out.status)
		}
	}
	back := w.s.Google.Inject(fakegoogle.Fault{Prefix: "/revoke", Status: http.StatusServiceUnavailable})
	waiting := w.root.must(http.StatusAccepted, "POST", person+"/erase", map[string]any{"confirm": v.subject}).body
	if waiting["receipt"] != nil || waiting["waiting_at_google"] != 1.0 {
		t.Errorf("%v", waiting)
	}
	if status, _ := w.s.Token(t, v.visit.Refresh(v.refresh)); status != http.StatusBadRequest {
		t.Errorf("not cut off: %d", status)
	}
	back()
	done := w.root.must(http.StatusOK, "POST", person+"/erase", map[string]any{"confirm": v.subject}).body
	if done["google"] != "done" || done["receipt"] == nil {
		t.Errorf("%v", done)
	}
}

// TestRevocationsByAPI: what is counted ends at once, for a tenant or for everybody, who is not ended by a slip; a revocation shows how far it is.
func TestRevocationsByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.visitor()
	const at = "/tenants/default/revocations"
	would := w.root.must(http.StatusOK, "POST", at, map[string]any{"dry_run": true, "subject": v.subject}).items()
	if len(would) != 1 || would[0]["tenant"] != "default" || would[0]["grants"] != 1.0 || would[0]["sessions"] != 1.0 || would[0]["connections"] != 0.0 {
		t.Errorf("%v", would)
	}
	if would := w.root.must(http.StatusOK, "POST", at, map[string]any{"dry_run": true, "subject": uuid.NewString()}).items(); len(would) != 0 {
		t.Errorf("of nobody: %v", would)
	}
	if out := w.root.call("POST", at, map[string]any{"client": strings.Repeat("c", 2049)}); out.status != http.StatusUnprocessableEntity {
		t.Errorf("a client id of 2049 bytes: %d", out.status)
	}
	refresh := func(v *visitor) int {
		status, _ := w.s.Token(t, url.Values{"grant_type": {"refresh_token"}, "client_id": {v.visit.Client}, "refresh_token": {v.refresh}})
		return status
	}
	begun := w.root.must(http.StatusAccepted, "POST", at, map[string]any{"subject": v.subject}).body
	if status := refresh(v); status != http.StatusBadRequest {
		t.Errorf("a refresh afterwards: %d", status)
	}
	if got := w.root.must(http.StatusOK, "GET", at+"/"+begun["id"].(string), nil).body; got["cutoff"] != begun["cutoff"] {
		t.Errorf("%v, begun %v", got, begun)
	}
	for path, want := range map[string]int{at + "/" + uuid.NewString(): http.StatusNotFound, "/revocations/" + uuid.NewString(): http.StatusNotFound, "/revocations/" + begun["id"].(string): http.StatusOK} {
		if out := w.root.call("GET", path, nil); out.status != want {
			t.Errorf("%s: %d %s", path, out.status, out.raw)
		}
	}
	v = w.visitor() // people can sign in again at once
	for name, body := range map[string]map[string]any{"everybody by a slip": {}, "a person of no tenant": {"subject": v.subject, "confirm": "everybody"}} {
		if out := w.root.call("POST", "/revocations", body); out.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, out.status, out.raw)
		}
	}
	w.root.must(http.StatusOK, "POST", "/revocations", map[string]any{"dry_run": true})
	w.root.must(http.StatusAccepted, "POST", "/revocations", map[string]any{"confirm": "everybody"})
	if status := refresh(v); status != http.StatusBadRequest {
		t.Errorf("a refresh after everybody's: %d", status)
	}
}
