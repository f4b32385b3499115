package app_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"latchkey/resourceserver/internal/credential"
)

// quotaUsers are the values of quotaUser that Google saw.
type quotaUsers struct {
	mu   sync.Mutex
	seen []string
}

func (q *quotaUsers) take() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.seen
	q.seen = nil
	return out
}

var quotaUser = regexp.MustCompile("^[0-9a-f]{32}$")

// watched is the stand-in for Google; in every test, each call of an API must say
// whose quota it uses, once.
func (r *rig) watched() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		signIn := false // Google's OAuth endpoints have no quota of a user
		for _, prefix := range []string{"/o/oauth2/", "/token", "/revoke", "/oauth2/", "/control/"} {
			signIn = signIn || strings.HasPrefix(req.URL.Path, prefix)
		}
		if !signIn {
			values := req.URL.Query()["quotaUser"]
			if len(values) != 1 || !quotaUser.MatchString(values[0]) {
				r.t.Errorf("%s %s: quotaUser %q", req.Method, req.URL.Path, values)
			} else {
				r.quota.mu.Lock()
				r.quota.seen = append(r.quota.seen, values[0])
				r.quota.mu.Unlock()
			}
		}
		r.google.ServeHTTP(w, req)
	})
}

// TestQuotaUser: one person is one user at Google, at every replica and whatever
// tool is used; another person, the same id in another tenant, and another
// server's key give others. That every call has one, every test here shows.
func TestQuotaUser(t *testing.T) {
	t.Parallel()
	r := start(t)
	of := func(at *rig, tid, sub string) string {
		t.Helper()
		c := r.as.claims(full)
		if tid != "" {
			c["tid"] = tid
		}
		if sub != "" {
			c["sub"] = sub
		}
		token := r.as.sign(c, r.as.key, "at+jwt")
		r.quota.take()
		for _, name := range []string{"drive_search", "gmail_search_threads", "gmail_list_labels"} {
			if out := at.call(token, name, nil); out.IsError {
				t.Fatal(out.Data)
			}
		}
		seen := r.quota.take()
		if len(seen) < 3 {
			t.Fatalf("%d calls", len(seen))
		}
		for _, one := range seen {
			if one != seen[0] {
				t.Errorf("one person is %s and %s", seen[0], one)
			}
		}
		return seen[0]
	}
	first := of(r, "", "")
	if again := of(r.replica(), "", ""); again != first {
		t.Errorf("another replica says %s, not %s", again, first)
	}
	const otherTenant, otherPerson = "0198f000-0000-7000-8000-000000000002", "0198f000-0000-7000-8000-0000000000ff"
	known := map[string]string{first: "the person"}
	differs := func(what, value string) {
		if was, ok := known[value]; ok {
			t.Errorf("%s is the same user as %s", what, was)
		}
		known[value] = what
	}
	differs("another person", of(r, "", otherPerson))
	differs("another tenant", of(r, otherTenant, ""))
	differs("another person of another tenant", of(r, otherTenant, otherPerson))
	dir := t.TempDir()
	r.settings.RSKeyFile = dir + "/k"
	if _, err := credential.CreateKey(r.settings.RSKeyFile, dir+"/j"); err != nil {
		t.Fatal(err)
	}
	differs("another server", of(r.replica(), "", ""))
}
