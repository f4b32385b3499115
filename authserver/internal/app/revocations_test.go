package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
)

// TestRevocationFeed: DESIGN §4: what a client revokes is in the feed at once, at every replica, for resource servers only.
func TestRevocationFeed(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v, kept := s.NewVisit(t), s.NewVisit(t)
	out, other := s.SignIn(t, v), s.SignIn(t, kept)
	x := s.Exchanger(t, s.Internal)
	start := time.Now().Add(-time.Minute)
	got, err := x.Revocations(t.Context(), start)
	if err != nil || len(got.Grants) != 0 || got.More || time.UnixMilli(got.Next).After(time.Now()) {
		t.Fatalf("%+v %v", got, err)
	}
	if status, _, body := post(t, s.URL+"/revoke", url.Values{"token": {out["refresh_token"].(string)}, "client_id": {v.Client}}, "", ""); status != http.StatusOK {
		t.Fatalf("%d %v", status, body)
	}
	grant := claim(t, out, "gid")
	replica := s.Replica(t)
	for _, internal := range []string{s.Internal, replica.Internal} {
		got, err = s.Exchanger(t, internal).Revocations(t.Context(), start)
		if err != nil || !slices.Equal(got.Grants, []string{grant}) {
			t.Errorf("%+v %v, want %s", got, err, grant)
		}
	}
	// Next looks back far enough to tell it again: its transaction could have been slow.
	if again, err := x.Revocations(t.Context(), time.UnixMilli(got.Next)); err != nil || !slices.Contains(again.Grants, grant) {
		t.Errorf("%+v %v", again, err)
	}
	if slices.Contains(got.Grants, claim(t, other, "gid")) {
		t.Error("a living grant is in the feed")
	}
}

func claim(t *testing.T, out map[string]any, name string) string {
	t.Helper()
	token, err := jwt.ParseSigned(out["access_token"].(string), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	value, _ := claims[name].(string)
	return value
}

// TestRevocationFeedRefuses: whoever is no resource server learns nothing, and an assertion is used once and for this endpoint.
func TestRevocationFeedRefuses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	feed := s.Internal + exchange.RevocationsPath
	sign := func(audience string) string { return authtest.Assertion(t, s.RSKey, "latchkey-rs", audience, nil) }
	ask := func(method, query, bearer string) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), method, feed+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Error("may be cached")
		}
		return resp.StatusCode, decodeBody(t, resp)
	}
	token := s.SignIn(t, s.NewVisit(t))["access_token"].(string)
	once := sign(feed)
	for _, row := range []struct {
		name, method, query, bearer string
		status                      int
		code                        string
	}{
		{"nobody", "GET", "?since=0", "", 401, "invalid_client"},
		{"A13 an access token", "GET", "?since=0", token, 401, "invalid_client"},
		{"A13 an assertion for the exchange", "GET", "?since=0", sign(s.Internal + exchange.Path), 401, "invalid_client"},
		{"A20 no position", "GET", "", sign(feed), 400, "invalid_request"},
		{"A20 a negative position", "GET", "?since=-1", sign(feed), 400, "invalid_request"},
		{"A20 a position that is no number", "GET", "?since=yesterday", sign(feed), 400, "invalid_request"},
		{"A20 a position that is SQL", "GET", "?since=" + url.QueryEscape("0') OR true --"), sign(feed), 400, "invalid_request"},
		{"A20 a position in the far future", "GET", "?since=9223372036854775807", sign(feed), 400, "invalid_request"},
		{"A20 a position beyond every number", "GET", "?since=9223372036854775808", sign(feed), 400, "invalid_request"},
		{"A20 a position before everything", "GET", "?since=1", sign(feed), 200, ""},
		{"POST", "POST", "?since=0", sign(feed), 405, "invalid_request"},
		{"the first use", "GET", "?since=0", once, 200, ""},
		{"A17 a second use", "GET", "?since=0", once, 401, "invalid_client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, body := ask(row.method, row.query, row.bearer)
			if code, _ := body["error"].(string); status != row.status || code != row.code {
				t.Errorf("%d %v", status, body)
			}
		})
	}
	resp := get(t, s.URL+exchange.RevocationsPath)
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the feed is public: %d", resp.StatusCode)
	}
}

// TestDeletedClientIsTold: DESIGN §4: a client may have more grants than fit into an answer of the feed, and all of them end with it at once:
// a resource server hears of each within a few questions, not of the first ten thousand only and of these again and again.
func TestDeletedClientIsTold(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	grant := claim(t, s.SignIn(t, v), "gid")
	const count = exchange.MaxRevocations + 500
	execSQL(t, s.DSN, fmt.Sprintf(`INSERT INTO grants SELECT (jsonb_populate_record(g, jsonb_build_object('id', gen_random_uuid()))).* FROM grants g, generate_series(2, %d) WHERE g.id = '%s'`, count, grant))
	if err := s.DB(t).DeleteClient(t.Context(), s.Tenant, v.Client); err != nil {
		t.Fatal(err)
	}
	seen := told(t, s, time.Now().Add(-time.Hour), 5)
	if len(seen) != count || !seen[grant] {
		t.Errorf("told of %d of %d", len(seen), count)
	}
}

// told asks the feed as a resource server does, until there is no more.
func told(t *testing.T, s *authtest.Server, since time.Time, most int) map[string]bool {
	t.Helper()
	x, seen := s.Exchanger(t, s.Internal), map[string]bool{}
	for page := 0; ; page++ {
		got, err := x.Revocations(t.Context(), since)
		if err != nil || page == most {
			t.Fatalf("page %d after %d grants: %v", page, len(seen), err)
		}
		for _, g := range got.Grants {
			seen[g] = true
		}
		if !got.More {
			return seen
		}
		since = time.UnixMilli(got.Next)
	}
}

// TestRevocationPages: more revocations than fit into an answer come in pages, none is lost although all have one time.
func TestRevocationPages(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	grant := claim(t, out, "gid")
	const count = 2*exchange.MaxRevocations + 5
	// Copies of the grant, revoked within two seconds.
	execSQL(t, s.DSN, fmt.Sprintf(`DO $$ DECLARE r grants%%rowtype; BEGIN
		SELECT * INTO r FROM grants WHERE id = '%s';
		FOR i IN 1..%d LOOP
			r.id := gen_random_uuid(); r.revoked_at := now() - interval '1 minute' + i * interval '100 microseconds'; r.revoked_reason := 'test';
			INSERT INTO grants SELECT r.*;
		END LOOP; END $$`, grant, count))
	if seen := told(t, s, time.Now().Add(-time.Hour), 6); len(seen) != count {
		t.Errorf("%d of %d", len(seen), count)
	}
}

// TestRevocationPagesOfEpochs: so it is for epochs, whichever of the two lists is longer.
func TestRevocationPagesOfEpochs(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	const count = 2*exchange.MaxEpochs + 5
	pgtest.As(t, s.DSN, "latchkey_jobs", tenant.DefaultID, fmt.Sprintf(`INSERT INTO jobs (id, kind, selector, actor, cutoff, finished_at)
		SELECT gen_random_uuid(), 'revoke', jsonb_build_object('tenant', '%s', 'client', 'c-' || i), 'operator', now() - interval '1 minute' + i * interval '100 microseconds', now()
		FROM generate_series(1, %d) AS i`, tenant.DefaultID, count))
	x := s.Exchanger(t, s.Internal)
	seen := map[string]bool{}
	since := time.Now().Add(-time.Hour)
	for page := 0; ; page++ {
		got, err := x.Revocations(t.Context(), since)
		if err != nil || page > 5 {
			t.Fatalf("page %d: %v", page, err)
		}
		for _, e := range got.Epochs {
			if e.Tenant != tenant.DefaultID.String() || e.Subject != "" || e.Before == 0 {
				t.Fatalf("%+v", e)
			}
			seen[e.Client] = true
		}
		if !got.More {
			break
		}
		since = time.UnixMilli(got.Next)
	}
	if len(seen) != count {
		t.Errorf("%d of %d", len(seen), count)
	}
}
