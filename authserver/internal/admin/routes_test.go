package admin_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"latchkey/authserver/docs"
	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/audit"
)

// TestRoutesAreDescribed: what the API serves is what docs/openapi.json describes, and nothing else: path, method, scope, who
// may, parameters of the query. Both are one list.
func TestRoutesAreDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			left[method+" "+path] = true
		}
	}
	for _, r := range w.routes() {
		name := r.Method + " " + admin.Base + r.Path
		if !left[name] {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(left, name)
		o := doc.Paths.Value(admin.Base + r.Path).GetOperation(r.Method)
		if got := (*o.Security)[0]["administrator"]; len(*o.Security) != 1 || !slices.Equal(got, []string{r.Scope}) {
			t.Errorf("%s: described with the scope %v", name, got)
		}
		if strings.Contains(o.Description, "administrators of the whole deployment only") != r.Everywhere {
			t.Errorf("%s: described for %q", name, o.Description)
		}
		var query []string
		for _, p := range o.Parameters {
			if p.Value.In == openapi3.ParameterInQuery {
				query = append(query, p.Value.Name)
			}
		}
		takes := slices.Sorted(slices.Values(admin.QueryOf(r)))
		if slices.Sort(query); !slices.Equal(query, takes) {
			t.Errorf("%s takes %v, described are %v", name, takes, query)
		}
	}
	var kinds []any
	for _, k := range audit.Kinds() {
		kinds = append(kinds, string(k))
	}
	listed := doc.Components.Schemas["Event"].Value.Properties["kind"].Value.Enum
	asked := doc.Paths.Value(admin.Base+"/tenants/{tenant}/audit").Get.Parameters.GetByInAndName(openapi3.ParameterInQuery, "kind").Schema.Value.Enum
	if !slices.Equal(listed, kinds) || !slices.Equal(asked, kinds) {
		t.Errorf("kinds of events: there are %v\ndescribed %v\nand as a parameter %v", kinds, listed, asked)
	}
	delete(left, "POST "+admin.TokenPath)
	delete(left, "GET "+admin.Base+"/openapi.json")
	if len(left) > 0 {
		t.Errorf("described and not served: %v", left)
	}
	scopes := doc.Components.SecuritySchemes["administrator"].Value.Flows.ClientCredentials.Scopes
	for _, s := range admin.AllScopes().Slice() {
		if scopes[s] == "" {
			t.Errorf("scope %s is not described", s)
		}
	}
	if len(scopes) != len(admin.AllScopes().Slice()) {
		t.Errorf("described scopes: %v", scopes)
	}

	// It is served to everybody, as it is committed.
	r, err := http.NewRequest(http.MethodGet, w.s.Admin+admin.Base+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if out := w.send(r); out.status != http.StatusOK || out.raw != string(docs.OpenAPI) || out.body["openapi"] != "3.1.0" {
		t.Errorf("%d", out.status)
	}
}

// TestEveryRouteIsStrict: no route is served without a token, with a query or a body that it does not know, or at another
// method.
func TestEveryRouteIsStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	p := w.acme
	before := w.rows(p.s.Tenant)
	for _, r := range w.routes() {
		path, match := p.path(r.Path, "acme")+queryOf(r, p), ifMatch(w.root, p, r)
		refused := func(status int, what, path string, sent any, change ...func(*http.Request)) {
			t.Helper()
			out := w.root.call(r.Method, path, sent, append(change, match)...)
			if out.status != status || out.body["request_id"] != out.header.Get("X-Request-Id") || out.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s, %s: %d %s", r.Method, r.Path, what, out.status, out.raw)
			}
		}
		refused(http.StatusUnauthorized, "no token", path, bodyOf(p, r), func(q *http.Request) { q.Header.Del("Authorization") })
		refused(http.StatusUnauthorized, "garbage", path, bodyOf(p, r), header("Authorization", "Bearer x.y.z"))
		refused(http.StatusUnauthorized, "two tokens", path, bodyOf(p, r), func(q *http.Request) { q.Header.Add("Authorization", "Bearer "+w.root.token) })
		refused(http.StatusUnauthorized, "a token by another scheme", path, bodyOf(p, r), header("Authorization", "Basic "+w.root.token))
		refused(http.StatusBadRequest, "an unknown parameter", path+map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]+"drop=1", bodyOf(p, r))
		if slices.Contains(admin.QueryOf(r), "limit") {
			for _, q := range []string{"limit=0", "limit=201", "limit=1&limit=2", "limit=", "limit=x", "cursor=x", "%zz"} {
				refused(http.StatusBadRequest, q, path+"?"+q, nil)
			}
		}
		if sent := bodyOf(p, r); sent != nil {
			refused(http.StatusUnsupportedMediaType, "a form", path, sent, header("Content-Type", "application/x-www-form-urlencoded"))
			refused(http.StatusBadRequest, "an unknown member", path, map[string]any{"drop": "everything"})
			refused(http.StatusBadRequest, "no JSON", path, sent, body(`{"`))
			refused(http.StatusBadRequest, "two values", path, sent, body(`{} {}`))
			refused(http.StatusRequestEntityTooLarge, "too much", path, sent, body(`{"x":"`+strings.Repeat("x", 300<<10)+`"}`))
		}
		if strings.Count(r.Path, "{") > 1 && !strings.Contains(r.Path, "{client}") {
			refused(http.StatusNotFound, "an id that is none", strings.NewReplacer(p.connection.String(), "x", p.grant.String(), "x", p.session.String(), "x", p.subject.String(), "X", p.revocation.String(), "x", p.rewrap.String(), "x", p.verify.String(), "x").Replace(path), bodyOf(p, r))
		}
	}
	if w.rows(p.s.Tenant) != before {
		t.Error("what was refused has changed something")
	}
	for path, allow := range map[string]string{"/tenants/acme/keys": "GET", "/tenants/acme": "GET, PATCH, DELETE"} {
		if out := w.root.call("PUT", path, nil); out.status != http.StatusMethodNotAllowed || out.header.Get("Allow") != allow {
			t.Errorf("%s: %d %v", path, out.status, out.header)
		}
	}
	if out := w.root.call("GET", "/nothing", nil); out.status != http.StatusNotFound || out.body["code"] != "not_found" {
		t.Errorf("%s", out.raw)
	}
}

// TestDoubt: DESIGN §1.5: what the database cannot tell is 503 with the time to wait, never 401 or 404.
func TestDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owner(`REVOKE SELECT ON admin_clients FROM latchkey_jobs`)
	if out := w.root.call("GET", "/tenants", nil); out.status != http.StatusServiceUnavailable || out.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", out.status, out.raw)
	}
	if status, out := w.tokenAt(w.s, credentials(), func(r *http.Request) { r.SetBasicAuth(w.root.id, w.root.secret) }); status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", status, out)
	}
	w.owner(`GRANT SELECT ON admin_clients TO latchkey_jobs`, `REVOKE INSERT (kind) ON audit_events FROM latchkey_runtime`)
	// What cannot be recorded is not done.
	for _, secret := range []string{w.root.secret, "wrong"} {
		if status, out := w.tokenAt(w.s, credentials(), func(r *http.Request) { r.SetBasicAuth(w.root.id, secret) }); status != http.StatusServiceUnavailable {
			t.Errorf("%d %v", status, out)
		}
	}
	if out := w.root.call("GET", "/tenants/default/audit", nil); out.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", out.status, out.raw)
	}
	if out := w.root.call("GET", "/tenants", nil); out.status != http.StatusOK {
		t.Errorf("%d %s", out.status, out.raw)
	}
}

// TestHealthStaysOpen: health asks for no token, and there is no API at the other listeners.
func TestHealthStaysOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for at, want := range map[string]int{
		w.s.Admin + "/livez": 200, w.s.Admin + "/readyz": 200, w.s.URL + "/admin/v1/tenants": 404, w.s.URL + "/admin/token": 404, w.s.Internal + "/admin/v1/tenants": 404,
	} {
		r, err := http.NewRequest(http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.root.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s: %d", at, resp.StatusCode)
		}
	}
}
