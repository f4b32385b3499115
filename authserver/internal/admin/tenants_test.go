package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"latchkey/authserver/internal/erasure"
)

func match(etag string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("If-Match", etag) }
}

// TestTenantByAPI: a tenant's life: made, served, changed as it was read, given a Google client whose secret nobody sees again,
// suspended, resumed, erased with a receipt.
func TestTenantByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.root
	made := root.must(http.StatusCreated, "POST", "/tenants", map[string]any{"slug": "acme", "name": "Acme Ltd", "policy": map[string]any{"google_domains": []string{"acme.example"}}})
	if made.header.Get("Location") != "/admin/v1/tenants/acme" || made.header.Get("ETag") != `"1"` || made.body["issuer"] != w.s.URL+"/t/acme" {
		t.Errorf("%v %s", made.header, made.raw)
	}
	w.s.Reload(t)
	if resp, err := http.Get(w.s.URL + "/t/acme/jwks"); err != nil || resp.StatusCode != http.StatusOK {
		t.Error("not served", err)
	}
	for name, c := range map[string]struct {
		body   any
		status int
	}{
		"a slug that is taken":          {map[string]any{"slug": "acme"}, 409},
		"a resource that is taken":      {map[string]any{"slug": "x", "resources": []any{map[string]any{"url": "http://127.0.0.1:9/t/acme/mcp"}}}, 409},
		"a slug that is none":           {map[string]any{"slug": "../x"}, 422},
		"no slug":                       {map[string]any{}, 422},
		"no resource":                   {map[string]any{"slug": "x", "resources": []any{}}, 422},
		"a policy with unknown members": {map[string]any{"slug": "x", "policy": map[string]any{"planets": "earth"}}, 422},
		"a policy that is null":         {map[string]any{"slug": "x", "policy": nil}, 422},
		"the deployment's host":         {map[string]any{"slug": "x", "host": strings.TrimPrefix(w.s.URL, "http://")}, 422},
	} {
		if out := root.call("POST", "/tenants", c.body); out.status != c.status {
			t.Errorf("%s: %d %s", name, out.status, out.raw)
		}
	}

	// Changed as it was read, and by one of two who read the same.
	for _, condition := range []string{"", "*", `"1", "2"`} {
		if out := root.call("PATCH", "/tenants/acme", map[string]any{"name": "x"}, match(condition)); out.status != http.StatusPreconditionRequired {
			t.Errorf("If-Match %q: %d", condition, out.status)
		}
	}
	changed := root.must(http.StatusOK, "PATCH", "/tenants/acme", map[string]any{"name": "Acme Inc"}, match(`"1"`))
	if changed.body["name"] != "Acme Inc" || !strings.Contains(changed.raw, "acme.example") || changed.header.Get("ETag") != `"2"` {
		t.Errorf("%s", changed.raw)
	}
	if out := root.call("PATCH", "/tenants/acme", map[string]any{"name": "x"}, match(`"1"`)); out.status != http.StatusPreconditionFailed {
		t.Errorf("%d", out.status)
	}
	var mu sync.Mutex
	got := map[int]int{}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			out := root.call("PATCH", "/tenants/acme", map[string]any{"name": fmt.Sprintf("Acme %d", i)}, match(`"2"`))
			mu.Lock()
			got[out.status]++
			mu.Unlock()
		})
	}
	all.Wait()
	if got[http.StatusOK] != 1 || got[http.StatusPreconditionFailed] != 7 {
		t.Errorf("of eight who read the same: %v", got)
	}
	root.must(http.StatusCreated, "POST", "/tenants", map[string]any{"slug": "globex"})
	theirs := map[string]any{"resources": []any{map[string]any{"url": "http://127.0.0.1:9/t/globex/mcp"}}}
	if out := root.call("PATCH", "/tenants/acme", theirs, match(`"3"`)); out.status != http.StatusConflict {
		t.Errorf("another's resource: %s", out.raw)
	}
	if out := root.call("PATCH", "/tenants/default", map[string]any{"host": "x.example"}, match(root.call("GET", "/tenants/default", nil).header.Get("ETag"))); out.status != http.StatusUnprocessableEntity {
		t.Errorf("the default tenant's issuer: %s", out.raw)
	}

	own := map[string]any{"client_id": "acme-google", "client_secret": "GOCSPX-not-to-be-seen", "publishing": "testing"}
	set := root.must(http.StatusOK, "PUT", "/tenants/acme/google-client", own)
	if g := set.body["google_client"].(map[string]any); g["of"] != "own" || g["client_id"] != "acme-google" || g["publishing"] != "testing" {
		t.Errorf("%v", g)
	}
	if out := root.call("PUT", "/tenants/default/google-client", own); out.status != http.StatusUnprocessableEntity {
		t.Errorf("%s", out.raw)
	}
	if out := root.must(http.StatusOK, "DELETE", "/tenants/acme/google-client", nil); out.body["google_client"].(map[string]any)["of"] != "deployment" {
		t.Errorf("%s", out.raw)
	}
	if all := root.must(http.StatusOK, "GET", "/tenants/acme/audit", nil).raw + w.s.Logs.String(); strings.Contains(all, "not-to-be-seen") || strings.Contains(all, root.token) || strings.Contains(all, root.secret) {
		t.Error("a secret is in the trail or the log")
	}

	// Only a suspended one is erased, and only by its name.
	if out := root.call("DELETE", "/tenants/acme?confirm=acme", nil); out.status != http.StatusConflict || out.body["code"] != "not_suspended" {
		t.Errorf("%s", out.raw)
	}
	if out := root.must(http.StatusOK, "POST", "/tenants/acme/suspend", nil); out.body["status"] != "suspended" {
		t.Errorf("%s", out.raw)
	}
	for _, confirm := range []string{"", "?confirm=default", "?confirm=Acme"} {
		if out := root.call("DELETE", "/tenants/acme"+confirm, nil); out.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s", confirm, out.raw)
		}
	}
	if out := root.call("DELETE", "/tenants/default?confirm=default", nil); out.status != http.StatusUnprocessableEntity {
		t.Errorf("the default tenant: %s", out.raw)
	}
	if out := root.must(http.StatusOK, "POST", "/tenants/acme/resume", nil); out.body["status"] != "active" {
		t.Errorf("%s", out.raw)
	}
	root.must(http.StatusOK, "POST", "/tenants/acme/suspend", nil)
	w.owner(`REVOKE DELETE ON clients FROM latchkey_jobs`) // the receipt is not lost with what comes after it
	gone := root.must(http.StatusAccepted, "DELETE", "/tenants/acme?confirm=acme", nil)
	w.owner(`GRANT DELETE ON clients TO latchkey_jobs`)
	root.must(http.StatusOK, "DELETE", "/tenants/acme?confirm=acme", nil)
	jwks, err := json.Marshal(remote(t, w.s).(published).JSONWebKeySet)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := erasure.Verify(gone.body["receipt"].(string), jwks); err != nil || r.Kind != erasure.KindTenant {
		t.Error(r, err)
	}
	if out := root.call("GET", "/tenants/acme", nil); out.status != http.StatusNotFound {
		t.Errorf("%d", out.status)
	}
	if out := root.call("DELETE", "/tenants/acme?confirm=acme", nil); out.status != http.StatusNotFound {
		t.Errorf("%d", out.status)
	}

	// Who did it stands in the trail.
	trail := root.must(http.StatusOK, "GET", "/tenants/default/audit?kind=admin.act", nil)
	if !strings.Contains(trail.raw, `"actor":"operator:`+root.id+`"`) || !strings.Contains(trail.raw, "tenant erased") {
		t.Errorf("%s", trail.raw)
	}
}

// TestOwnPolicy: a tenant's own administrator can make its policy narrower and never wider, and leaves where it is served alone.
func TestOwnPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t).peopled()
	standing := map[string]any{"google_domains": []string{"acme.example", "acme.test"}, "allowed_tools": []string{"gmail_search", "drive_search"}, "sessions_max": 5,
		"profile": "standard", "report_only": []string{"google_domains"}, "lifetimes": map[string]any{"access_token": "5m"}}
	w.root.must(http.StatusOK, "PATCH", "/tenants/acme", map[string]any{"policy": standing}, match(`"1"`))
	with := func(changes map[string]any) map[string]any {
		p := map[string]any{}
		for k, v := range standing {
			p[k] = v
		}
		for k, v := range changes {
			if p[k] = v; v == nil {
				delete(p, k)
			}
		}
		return map[string]any{"policy": p}
	}
	for name, body := range map[string]map[string]any{
		"no domains":              with(map[string]any{"google_domains": nil}),
		"another domain":          with(map[string]any{"google_domains": []string{"acme.example", "evil.example"}}),
		"another tool":            with(map[string]any{"allowed_tools": []string{"gmail_send"}}),
		"more sessions":           with(map[string]any{"sessions_max": 6}),
		"as many as the others":   with(map[string]any{"sessions_max": nil}),
		"a wider profile":         with(map[string]any{"profile": "full"}),
		"no profile":              with(map[string]any{"profile": nil}),
		"another lifetime":        with(map[string]any{"lifetimes": map[string]any{"access_token": "24h"}}),
		"documents":               with(map[string]any{"documents": map[string]any{"mode": "open"}}),
		"reporting what enforces": with(map[string]any{"report_only": []string{"google_domains", "allowed_tools"}}),
		"everything":              {"policy": map[string]any{}},
		"a host":                  {"host": "auth.acme.example"},
		"another resource":        {"resources": []any{map[string]any{"url": "https://mcp.acme.example/mcp"}}},
	} {
		if out := w.acme.own.call("PATCH", "/tenants/acme", body, match(`"2"`)); out.status != http.StatusForbidden || out.body["code"] != "deployment_only" {
			t.Errorf("%s: %d %s", name, out.status, out.raw)
		}
	}
	narrow := with(map[string]any{"google_domains": []string{"acme.test"}, "allowed_tools": []string{"drive_search"}, "allowed_scopes": []string{"drive.read"}, "sessions_max": 1, "report_only": nil})
	narrow["name"] = "Acme, narrower"
	out := w.acme.own.must(http.StatusOK, "PATCH", "/tenants/acme", narrow, match(`"2"`))
	if strings.Contains(out.raw, "acme.example\"]") || !strings.Contains(out.raw, "drive.read") || out.body["name"] != "Acme, narrower" {
		t.Errorf("%s", out.raw)
	}
	if out := w.acme.own.call("PATCH", "/tenants/acme", with(nil), match(`"3"`)); out.status != http.StatusForbidden {
		t.Errorf("what was narrowed is widened again: %s", out.raw)
	}
}

// TestTenantPages: lists are read in pages; the last one has no cursor or is empty.
func TestTenantPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.root.must(http.StatusCreated, "POST", "/tenants", map[string]any{"slug": fmt.Sprintf("t%d", i)})
	}
	var slugs []string
	next := ""
	for range 10 {
		path := "/tenants?limit=2"
		if next != "" {
			path += "&cursor=" + next
		}
		out := w.root.must(http.StatusOK, "GET", path, nil)
		for _, one := range out.items() {
			slugs = append(slugs, one["slug"].(string))
		}
		if next, _ = out.body["next_cursor"].(string); next == "" {
			break
		}
	}
	if strings.Join(slugs, " ") != "default t0 t1 t2 t3 t4" {
		t.Errorf("%v", slugs)
	}
}
