package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/exchange"
)

// TestOutcomesRefused: the intake is for resource servers, for what is on its list, and each assertion once; what names no
// grant is dropped.
func TestOutcomesRefused(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	intake := s.Internal + exchange.OutcomesPath
	sign := func(audience string) string { return authtest.Assertion(t, s.RSKey, "latchkey-rs", audience, nil) }
	once := sign(intake)
	tid, gid := claim(t, out, "tid"), claim(t, out, "gid")
	one := fmt.Sprintf(`{"tenant":%q,"grant":%q,"tool":"t1","outcome":"ok","duration_ms":5}`, tid, gid)
	list := func(o string) string { return `{"outcomes":[` + o + `]}` }
	good := list(one)
	for _, row := range []struct {
		name, method, bearer, contentType, body string
		status                                  int
	}{
		{"nobody", "POST", "", "application/json", good, 401},
		{"A13 an access token", "POST", out["access_token"].(string), "application/json", good, 401},
		{"A13 an assertion for the feed", "POST", sign(s.Internal + exchange.RevocationsPath), "application/json", good, 401},
		{"GET", "GET", sign(intake), "application/json", "", 405},
		{"a form", "POST", sign(intake), "application/x-www-form-urlencoded", good, 400},
		{"no JSON", "POST", sign(intake), "application/json", "{", 400},
		{"a second value", "POST", sign(intake), "application/json", good + good, 400},
		{"an unknown member", "POST", sign(intake), "application/json", list(strings.Replace(one, `"tool"`, `"subject":"s","tool"`, 1)), 400},
		{"none", "POST", sign(intake), "application/json", list(""), 400},
		{"101", "POST", sign(intake), "application/json", list(strings.Repeat(one+",", 100) + one), 400},
		{"too large", "POST", sign(intake), "application/json", list(strings.Replace(one, "t1", strings.Repeat("t", exchange.MaxOutcomesBytes), 1)), 400},
		{"a tool with content", "POST", sign(intake), "application/json", list(strings.Replace(one, "t1", "mail from bob", 1)), 400},
		{"an outcome with content", "POST", sign(intake), "application/json", list(strings.Replace(one, `"ok"`, `"bob@example.com"`, 1)), 400},
		{"no grant", "POST", sign(intake), "application/json", list(strings.Replace(one, gid, "x", 1)), 400},
		{"no tenant", "POST", sign(intake), "application/json", list(strings.Replace(one, tid, "x", 1)), 400},
		{"less than no time", "POST", sign(intake), "application/json", list(strings.Replace(one, ":5", ":-5", 1)), 400},
		{"the first use, a grant that is not there beside one that is", "POST", once, "application/json", list(strings.Replace(one, gid, uuid.NewString(), 1) + "," + one), 204},
		{"A17 a second use", "POST", once, "application/json", good, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), row.method, intake, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", row.contentType)
			if row.bearer != "" {
				req.Header.Set("Authorization", "Bearer "+row.bearer)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != row.status || resp.Header.Get("Cache-Control") != "no-store" {
				body, _ := io.ReadAll(resp.Body)
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	recorded := 0
	for _, e := range auditOf(t, s) {
		if e.Kind == audit.ToolCalled {
			recorded++
			if e.Tool != "t1" || e.DurationMS != 5 || e.Grant.String() != gid || e.Subject.String() != claim(t, out, "sub") {
				t.Errorf("%+v", e)
			}
		}
	}
	if recorded != 1 {
		t.Errorf("%d outcomes recorded", recorded)
	}
}
