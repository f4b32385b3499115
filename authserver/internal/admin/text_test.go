package admin_test

import (
	"net/http"
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
	} {
		if got := w.root.call(row.method, row.path, nil); got.status != row.status {
			t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.raw)
		}
	}
}
