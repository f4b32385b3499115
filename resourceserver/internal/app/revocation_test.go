package app_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestRevokedGrant: DESIGN §4: a token of a revoked grant is refused within 10 s although it has not expired and a Google token
// is cached for it; a token of another grant goes on. Package revocation asks the feed every 3 s, which is tested there by the
// clock; here the answers are counted.
func TestRevokedGrant(t *testing.T) {
	t.Parallel()
	r := start(t)
	const grant, other = "0198f000-0000-7000-8000-00000000000b", "0198f000-0000-7000-8000-00000000000c"
	claims := r.as.claims(all)
	claims["gid"] = other
	token, kept := r.as.mint(all), r.as.sign(claims, r.as.key, "at+jwt")
	call := func(token string) reply {
		return r.send(http.MethodPost, r.mcp, token, callBody("gmail_search_threads", map[string]any{"query": "budget"}))
	}
	for _, one := range []string{token, kept} {
		if got := call(one); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	var before int
	r.as.set(func() { r.as.revoked, before = []string{grant}, r.as.fed })
	eventually(t, "the token to be refused", func() bool {
		var answers int
		r.as.set(func() { answers = r.as.fed - before })
		refused := call(token).status != http.StatusOK
		if !refused && answers > 1 { // who asks again has read the answer before
			t.Fatalf("still served after %d answers of the feed", answers)
		}
		return refused
	})
	got := call(token)
	if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := call(kept); got.status != http.StatusOK {
		t.Errorf("the other grant: %d %s", got.status, got.body)
	}
}
