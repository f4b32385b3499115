package signals_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/signals"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/accesstoken"
)

// TestUnknownKeysAreBounded: forged key ids make this server ask Google for its keys once, not once each; where the keys
// are is asked once.
func TestUnknownKeysAreBounded(t *testing.T) {
	t.Parallel()
	r := start(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := r.claims(t, "sessions-revoked")
	began := time.Now()
	r.send(t, fakegoogle.Signal{Event: "verification"})
	before := r.Google.Count("GET /oauth2/v3/certs")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if status, code := r.deliver(t, forge(t, jose.RS256, private, fmt.Sprint("forged-", i), claims)); status != http.StatusBadRequest || code != "invalid_key" {
				t.Errorf("%d %s", status, code)
			}
		})
	}
	wg.Wait()
	if n := r.Google.Count("GET /oauth2/v3/certs") - before; n > 1+int(time.Since(began)/(30*time.Second)) { // one in half a minute
		t.Errorf("%d fetches of the key set", n)
	}
	if n := r.Google.Count("GET /.well-known/risc-configuration"); n != 1 {
		t.Errorf("%d fetches of the configuration", n)
	}
	r.send(t, fakegoogle.Signal{Event: "sessions-revoked", Email: alice}) // the real key still works
}

// TestGoogleAway: while Google's keys or where they are cannot be read an event is 503, not refused; it is taken when it
// comes again.
func TestGoogleAway(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/oauth2/v3/certs", "/.well-known/risc-configuration"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			token := r.sign(t, r.claims(t, "sessions-revoked"))
			// The sign-in has read the ID token's keys, the receiver none yet.
			clear := r.Google.Inject(fakegoogle.Fault{Prefix: prefix, Status: 503})
			before, began := r.Google.Count("GET "+prefix), time.Now()
			for range 5 {
				if status, _ := r.deliver(t, token); status != http.StatusServiceUnavailable {
					t.Errorf("status %d", status)
				}
			}
			most := 1 + int(time.Since(began)/(2*time.Second)) // the pause after a failure is real time in a whole server
			if n := r.Google.Count("GET "+prefix) - before; n < 1 || n > most {
				t.Errorf("%d fetches of what failed, 1 to %d are right", n, most)
			}
			if got := r.exchange(t, r.tokens); got != "" {
				t.Errorf("an event that nobody verified acted: %q", got)
			}
			clear()
			deadline := time.Now().Add(time.Minute)
			for {
				status, _ := r.deliver(t, token)
				if status == http.StatusAccepted {
					break
				}
				if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
					t.Fatalf("status %d after the outage", status)
				}
				time.Sleep(100 * time.Millisecond) // Google delivers again
			}
			if got := r.exchange(t, r.tokens); got != "invalid_grant" {
				t.Errorf("after the outage: %q", got)
			}
		})
	}
}

// TestKeyForAnotherUse: a key that Google publishes for another algorithm or for encryption signs no event, even where the
// mathematics would agree.
func TestKeyForAnotherUse(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token := forge(t, jose.RS256, private, "k", map[string]any{"iss": issuer, "aud": "ours", "iat": now.Unix(), "jti": "j", "events": map[string]any{signals.Verification: map[string]any{}}})
	for name, c := range map[string]struct {
		alg, use string
		status   int
	}{
		"RS256": {"RS256", "sig", 202}, "no use": {"RS256", "", 202}, "PS256": {"PS256", "sig", 400}, "no algorithm": {"", "sig", 400}, "encryption": {"RS256", "enc", 400},
	} {
		h := &signals.Handler{
			Keys: oneKey{jose.JSONWebKey{Key: &private.PublicKey, KeyID: "k", Algorithm: c.alg, Use: c.use}}, Issuer: issuer,
			Clients: func() []string { return []string{"ours"} }, Store: &reached{}, Now: func() time.Time { return now },
		}
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		if status, body, err := fakegoogle.Deliver(t.Context(), server.URL, token); err != nil || status != c.status || (status == 400) != strings.Contains(body, "invalid_key") {
			t.Errorf("%s: %d %s %v", name, status, body, err)
		}
	}
}

// site is Google's two documents, played by the test.
type site struct {
	url string

	mu      sync.Mutex
	answer  string // of the configuration; "" is 503
	fetches int
}

func newSite(t *testing.T) *site {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &private.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}}
	body, err := set.Keys[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/risc-configuration", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetches++
		switch s.answer {
		case "":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "redirect":
			w.Header().Set("Location", "/keys")
			w.WriteHeader(http.StatusFound)
		default:
			_, _ = fmt.Fprint(w, s.answer)
		}
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `{"keys":[%s]}`, body) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) set(answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *site) good() string {
	return fmt.Sprintf(`{"issuer":"%s/","jwks_uri":"%s/keys"}`, s.url, s.url)
}

// clock is a time that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// TestConfiguration: only the issuer's own document counts; what cannot be read is doubt, asked again after a pause, and
// never forgets what was read before.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, c := newSite(t), &clock{now: time.Now()}
	for name, answer := range map[string]string{
		"503": "", "redirect": "redirect", "not JSON": "x", "another issuer": `{"issuer":"https://a.example/","jwks_uri":"` + s.url + `/keys"}`,
		"issuer without the slash": `{"issuer":"` + s.url + `","jwks_uri":"` + s.url + `/keys"}`,
		"http beyond loopback":     `{"issuer":"` + s.url + `/","jwks_uri":"http://keys.example/keys"}`,
		"no keys":                  `{"issuer":"` + s.url + `/"}`,
		"another scheme":           `{"issuer":"` + s.url + `/","jwks_uri":"file:///etc/keys"}`,
		"too long":                 `{"x":"` + string(make([]byte, 70<<10)) + `","issuer":"` + s.url + `/","jwks_uri":"` + s.url + `/keys"}`,
	} {
		s.set(answer)
		k := &signals.Keys{Issuer: s.url + "/", Now: c.Now}
		if _, err := k.Key(ctx, "k"); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}

	s.set("")
	k := &signals.Keys{Issuer: s.url + "/", Now: c.Now}
	before := s.count()
	for range 3 {
		if _, err := k.Key(ctx, "k"); err == nil {
			t.Error("keys from nowhere")
		}
	}
	s.set(s.good())
	if n := s.count() - before; n != 1 {
		t.Errorf("%d fetches within the pause", n)
	}
	c.forward(3 * time.Second)
	works := func(when string) {
		t.Helper()
		if key, err := k.Key(ctx, "k"); err != nil || key.Algorithm != "RS256" {
			t.Errorf("%s: %v", when, err)
		}
	}
	works("after the pause")
	if _, err := k.Key(ctx, "other"); !errors.Is(err, accesstoken.ErrInvalid) {
		t.Errorf("an unknown key: %v", err)
	}
	before = s.count()
	s.set("")
	works("fresh")
	c.forward(25 * time.Hour)
	for range 3 {
		works("stale, while Google is away")
	}
	if n := s.count() - before; n != 1 {
		t.Errorf("%d fetches of a stale configuration within the pause", n)
	}
	s.set(`{"issuer":"` + s.url + `/","jwks_uri":"` + s.url + `/moved"}`)
	c.forward(6 * time.Minute)
	if _, err := k.Key(ctx, "k"); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
		t.Errorf("keys that have moved to where there are none: %v", err)
	}

	k = &signals.Keys{Issuer: "https://issuer.example/", JWKSURL: s.url + "/keys", Now: c.Now}
	before = s.count()
	works("as the setting says")
	if s.count() != before {
		t.Error("the configuration was asked although the setting says where the keys are")
	}
}
