package admin_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestTextThatIsNone: what no text of the database can be is wrong, or names nothing: it is no doubt about the database, which a
// client would ask about again and again.
func TestTextThatIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"adm_\x00", "adm_\xff", "adm_" + string(make([]byte, 4000))} {
		if status, out := w.tokenAt(w.s, credentials(), func(r *http.Request) { r.SetBasicAuth(id, "x") }); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("token for %.10q: %d %v", id, status, out)
		}
	}
	for _, row := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/tenants/%00", 404},
		{"GET", "/tenants/default/clients/%00", 404},
		{"DELETE", "/tenants/default/clients/%ff", 404},
		{"GET", "/tenants/default/grants?client=%00", 400},
		{"GET", "/tenants/default/audit?request=%ff", 400},
		{"GET", "/tenants/default/grants?%00=1", 400},
		{"DELETE", "/tenants/default/sessions/%00", 404},
	} {
		if got := w.root.call(row.method, row.path, nil); got.status != row.status {
			t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.raw)
		}
	}
	tag := w.root.call("GET", "/tenants/default", nil).header.Get("ETag")
	for _, row := range []struct{ method, path, body, member string }{
		{"POST", "/tenants", `{"slug": "a\u0000b"}`, "slug"},
		{"POST", "/tenants", `{"slug": "x", "name": "\u0000"}`, "name"},
		{"POST", "/tenants", `{"slug": "x", "host": "a\u0000.example"}`, "host"},
		{"POST", "/tenants", `{"slug": "x", "resources": [{"url": "https://a.example/\u0000"}]}`, "resources[0].url"},
		{"PATCH", "/tenants/default", `{"name": "\u0000"}`, "name"},
		{"PATCH", "/tenants/default", `{"policy": {"google_domains": ["a.example", "\u0000"]}}`, "policy.google_domains[1]"},
		{"PUT", "/tenants/default/google-client", `{"client_id": "\u0000", "client_secret": "s"}`, "client_id"},
		{"POST", "/tenants/default/clients", `{"client_name": "\u0000", "redirect_uris": ["https://a.example/cb"]}`, "client_name"},
		{"POST", "/tenants/default/clients", `{"client_name": "\ud800", "redirect_uris": ["https://a.example/cb"]}`, "client_name"},
		{"POST", "/tenants/default/clients", `{"client_name": "x", "jwks": {"keys": [{"kid": "\u0000"}]}}`, "jwks.keys[0].kid"},
		{"POST", "/tenants/default/clients", "{\"client_name\": \"\xff\"}", "client_name"},
		{"POST", "/tenants/default/keys/rotate", `{"purpose": "\u0000"}`, "purpose"},
		{"POST", "/tenants/default/revocations", `{"client": "\u0000"}`, "client"},
		{"POST", "/tenants/default/subjects/00000000-0000-7000-8000-000000000000/erase", `{"confirm": "\u0000"}`, "confirm"},
	} {
		got := w.root.call(row.method, row.path, nil, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(row.body)), int64(len(row.body))
			r.Header.Set("Content-Type", "application/json")
			if row.method == "PATCH" {
				r.Header.Set("If-Match", tag)
			}
		})
		if detail, _ := got.body["detail"].(string); got.status != 400 || got.body["code"] != "bad_request" || !strings.Contains(detail, ": "+row.member+".") {
			t.Errorf("%s %s %s: %d %s", row.method, row.path, row.body, got.status, got.raw)
		}
	}
}
