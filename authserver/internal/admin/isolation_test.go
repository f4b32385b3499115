package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// bodyOf is a body that a route takes.
func bodyOf(p *place, r *admin.Route) any {
	switch r.Method + " " + r.Path {
	case "POST /tenants":
		return map[string]any{"slug": "fresh"}
	case "PATCH /tenants/{tenant}":
		return map[string]any{"name": "Renamed"}
	case "PUT /tenants/{tenant}/google-client":
		return map[string]any{"client_id": "their-google-id", "client_secret": "their-google-secret"}
	case "POST /tenants/{tenant}/clients":
		return map[string]any{"client_name": "Entered", "grant_types": []string{"client_credentials"}, "scope": "gmail.read"}
	case "POST /revocations", "POST /tenants/{tenant}/revocations":
		return map[string]any{"dry_run": true}
	case "POST /tenants/{tenant}/keys/rotate":
		return map[string]any{"purpose": "grant"}
	case "POST /tenants/{tenant}/subjects/{subject}/erase":
		return map[string]any{"confirm": p.subject.String()}
	}
	return nil
}

// ifMatch sends the entity tag of the tenant as it is, where a route asks for one.
func ifMatch(a *adm, p *place, r *admin.Route) func(*http.Request) {
	return func(q *http.Request) {
		if r.Method == http.MethodPatch {
			q.Header.Set("If-Match", a.call("GET", "/tenants/"+p.slug, nil).header.Get("ETag"))
		}
	}
}

func queryOf(r *admin.Route, p *place) string {
	if r.Method == http.MethodDelete && r.Path == "/tenants/{tenant}" {
		return "?confirm=" + p.slug
	}
	return ""
}

// TestAnotherTenantIsNotThere: DESIGN §1.3: every route x an administrator of one tenant x the other tenant's objects, under
// the other's name and under its own: 404 or 403, and nothing of the other changes, not even its trail. The same requests
// of the one who may are served, so it is the tenant that was refused.
func TestAnotherTenantIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	thief, victim := w.acme.own, w.globex
	before := w.rows(victim.s.Tenant)
	unchanged := func(what string) {
		t.Helper()
		if after := w.rows(victim.s.Tenant); after != before {
			t.Fatalf("%s changed the other tenant", what)
		}
	}
	routes := w.routes()
	for _, r := range routes {
		if !strings.Contains(r.Path, "{tenant}") {
			continue
		}
		name := r.Method + " " + r.Path
		foreign := func(q *http.Request) {
			if r.Method == http.MethodPatch {
				q.Header.Set("If-Match", `"1"`)
			}
		}
		there := thief.call(r.Method, victim.path(r.Path, victim.slug)+queryOf(r, victim), bodyOf(victim, r), foreign)
		nowhere := thief.call(r.Method, victim.path(r.Path, "nobody")+queryOf(r, victim), bodyOf(victim, r), foreign)
		wanted := http.StatusNotFound
		if r.Scope == admin.TenantsErase {
			wanted = http.StatusForbidden // a scope that it cannot have
		}
		if there.status != wanted || nowhere.status != wanted || there.body["detail"] != nowhere.body["detail"] {
			t.Errorf("%s at another tenant: %s; at none: %s", name, there.raw, nowhere.raw)
		}
		unchanged(name + " at the other tenant")
		if r.Everywhere {
			if own := thief.call(r.Method, w.acme.path(r.Path, "acme")+queryOf(r, w.acme), bodyOf(w.acme, r), foreign); own.status != http.StatusForbidden {
				t.Errorf("%s at its own tenant: %s", name, own.raw)
			}
			continue
		}
		if strings.Count(r.Path, "{") < 2 {
			continue
		}
		// The other's object under its own name.
		out := thief.call(r.Method, victim.path(r.Path, "acme"), bodyOf(victim, r))
		if ended := strings.HasSuffix(r.Path, "/end-sessions") && out.status == http.StatusOK && out.body["ended"] == 0.0; out.status != http.StatusNotFound && !ended {
			t.Errorf("%s of another's object at its own tenant: %d %s", name, out.status, out.raw)
		}
		unchanged(name + " of the other's object")
	}
	if out := thief.call("POST", "/tenants", map[string]any{"slug": "mine"}); out.status != http.StatusForbidden {
		t.Errorf("a tenant's administrator makes tenants: %s", out.raw)
	}
	if out := thief.must(http.StatusOK, "GET", "/tenants", nil).items(); len(out) != 1 || out[0]["slug"] != "acme" {
		t.Errorf("a tenant's administrator sees %v", out)
	}
	for _, list := range []string{"clients", "connections", "grants", "sessions", "audit"} {
		out := thief.must(http.StatusOK, "GET", "/tenants/acme/"+list, nil)
		for _, id := range []string{victim.subject.String(), victim.connection.String(), victim.grant.String(), victim.session.String(), victim.client, victim.document} {
			if strings.Contains(out.raw, id) {
				t.Errorf("%s of acme has something of globex", list)
			}
		}
	}
	unchanged("listing")
	// What was refused is served to the one who may.
	slices.SortStableFunc(routes, func(a, b *admin.Route) int { return late(a) - late(b) })
	for _, r := range routes {
		if !strings.Contains(r.Path, "{tenant}") || r.Everywhere {
			continue
		}
		if out := victim.own.call(r.Method, victim.path(r.Path, victim.slug), bodyOf(victim, r), ifMatch(victim.own, victim, r)); out.status >= 300 {
			t.Errorf("%s at its own tenant: %d %s", r.Method+" "+r.Path, out.status, out.raw)
		}
	}
}

// late says when a route can be tried of things that others end: reads, then what marks, then what ends.
func late(r *admin.Route) int {
	for i, part := range []string{"/end-sessions", "/sessions/", "/grants/", "/disconnect", "/clients/", "/erase"} {
		if r.Method != http.MethodGet && strings.Contains(r.Path, part) {
			return i + 1
		}
	}
	return 0
}

// TestScopes: every route needs its scope and no other will do; a token carries no more than was asked for.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, r := range w.routes() {
		if !admin.AllScopes().Contains(r.Scope) {
			t.Errorf("%s needs the scope %q, which there is not", r.Path, r.Scope)
		}
	}
	p := w.peopled().acme
	without := map[string]*adm{}
	for _, r := range w.routes() {
		a := without[r.Scope]
		if a == nil {
			a = w.admin(tenant.ID{}, admin.AllScopes().Minus(oauth.NewScopes(r.Scope)))
			without[r.Scope] = a
		}
		out := a.call(r.Method, p.path(r.Path, "acme")+queryOf(r, p), bodyOf(p, r))
		if out.status != http.StatusForbidden || out.body["code"] != "insufficient_scope" || !strings.Contains(out.header.Get("WWW-Authenticate"), `scope="`+r.Scope+`"`) {
			t.Errorf("%s %s without its scope: %d %s", r.Method, r.Path, out.status, out.raw)
		}
	}
}
