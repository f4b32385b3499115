package exchange_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/exchange"
)

// TestGoldenOutcomes: the wire form of a report, byte by byte, and an assertion for this endpoint that is never the same.
func TestGoldenOutcomes(t *testing.T) {
	t.Parallel()
	k := key(t)
	var bodies, ids []string
	var base string
	var c *exchange.Client
	c, base = client(t, k, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		assertion, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Error(err)
			return
		}
		var claims jwt.Claims
		if err := token.Claims(k.Public(), &claims); err != nil || claims.Issuer != "rs" || !claims.Audience.Contains(base+exchange.OutcomesPath) {
			t.Error(claims, err)
		}
		ids = append(ids, claims.ID)
		if r.Method != http.MethodPost || r.URL.Path != "/internal/audit" || r.Header.Get("Content-Type") != "application/json" {
			t.Error(r.Method, r.URL, r.Header)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	full := exchange.Outcome{Tenant: "t1", Grant: "g1", Tool: "gmail_search_threads", Outcome: "ok", DurationMS: 12, RequestID: "r1"}
	for range 2 {
		if err := c.ReportOutcomes(t.Context(), []exchange.Outcome{full, {Tenant: "t1", Grant: "g1", Tool: "x", Outcome: "timeout"}}); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"outcomes":[{"tenant":"t1","grant":"g1","tool":"gmail_search_threads","outcome":"ok","duration_ms":12,"request_id":"r1"},{"tenant":"t1","grant":"g1","tool":"x","outcome":"timeout","duration_ms":0}]}`
	if len(bodies) != 2 || bodies[0] != want || ids[0] == ids[1] {
		t.Errorf("%v %v", bodies, ids)
	}
}

// TestOutcomesAnswers: only 204 is success; only what is malformed is never to be sent again.
func TestOutcomesAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct{ failed, refused bool }{
		204: {false, false}, 200: {true, false}, 302: {true, false}, 400: {true, true}, 401: {true, false}, 413: {true, true}, 429: {true, false}, 503: {true, false},
	} {
		c, _ := client(t, key(t), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		err := c.ReportOutcomes(t.Context(), []exchange.Outcome{{}})
		if (err != nil) != want.failed || errors.Is(err, exchange.ErrOutcomesRefused) != want.refused {
			t.Errorf("%d: %v", status, err)
		}
	}
}
