package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"latchkey/authserver/internal/authtest"
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
