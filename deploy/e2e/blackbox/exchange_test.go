package blackbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/smoke"
	"latchkey/deploy/dev/stack"
	"latchkey/deploy/dev/testcert"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const gmailRead = "https://www.googleapis.com/auth/gmail.readonly"

// setting is what a process got.
func setting(p *stack.Process, name string) string {
	for _, pair := range p.Env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// replica is a second authorization server on the same database, and the URL of
// its internal listener.
func replica(t *testing.T, s *stack.Stack) (*stack.Process, string) {
	t.Helper()
	free, err := listeners()
	must(t, err)
	env := append([]string{}, s.AS.Env...)
	for _, pair := range free {
		env = replaced(env, pair)
	}
	p := &stack.Process{Name: "a replica", Args: s.AS.Args, Env: env, Log: filepath.Join(t.TempDir(), "replica.log")}
	p.Env = replaced(p.Env, "AS_INTERNAL_URL=http://"+setting(p, "AS_INTERNAL_LISTEN"))
	must(t, p.Start())
	t.Cleanup(p.Stop)
	await(t, p)
	return p, setting(p, "AS_INTERNAL_URL")
}

func await(t *testing.T, p *stack.Process) {
	t.Helper()
	eventually(t, "the replica is ready", func() bool {
		resp, err := http.Get("http://" + setting(p, "AS_ADMIN_LISTEN") + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func replaced(env []string, pair string) []string {
	name, _, _ := strings.Cut(pair, "=")
	for i, have := range env {
		if strings.HasPrefix(have, name+"=") {
			env[i] = pair
			return env
		}
	}
	return append(env, pair)
}

// exchanger asks an internal listener as the resource server does.
func exchanger(t *testing.T, s *stack.Stack, internal string) *exchange.Client {
	t.Helper()
	b, err := os.ReadFile(setting(s.RS, "RS_KEY_FILE"))
	must(t, err)
	var key jose.JSONWebKey
	must(t, json.Unmarshal(b, &key))
	x, err := exchange.NewClient(exchange.ClientConfig{Endpoint: internal + exchange.Path, ClientID: setting(s.RS, "RS_CLIENT_ID"), Key: key})
	must(t, err)
	return x
}

func asked(c *smoke.Client) exchange.Request {
	return exchange.Request{SubjectToken: secret.NewText(c.AccessToken()), Scopes: oauth.NewScopes(gmailRead)}
}

// TestLeaderKilledMidRefresh: DESIGN §5: the replica that refreshes is killed while Google answers. Nobody of 49 who wait at the other replica is
// asked to log in: they get one token, by at most one refresh more, as soon as the dead one's lease has ended. A lease is for 10 s and they wait for
// 12, so they come when half of it is over: a busy machine then has seconds to notice its end. LATCHKEY_ROUNDS kills it more often.
func TestLeaderKilledMidRefresh(t *testing.T) {
	t.Parallel()
	const waiting = 49
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("LATCHKEY_ROUNDS")); err == nil {
		rounds = n
	}
	s := own(t, "RATE_LIMIT_SCALE=1000") // one person calls more than a person does
	c := signedIn(t, s)
	leader, internal := replica(t, s)
	there, here := exchanger(t, s, internal), exchanger(t, s, s.InternalURL)
	conn := ofDefault(t, s)
	for round := range rounds {
		must(t, c.Refresh(t.Context())) // the access token lives ten minutes
		before, err := here.Exchange(t.Context(), asked(c))
		must(t, err)
		refused := asked(c) // which makes the old token unusable, so nothing else can be served
		refused.ForceRefresh, refused.GrantVersion = true, before.GrantVersion
		refreshes, calls := s.Google.Count("refresh"), s.Google.Count("POST /token")
		hold := make(chan struct{}) // Google answers when the leader is dead
		clear := s.Google.Inject(fakegoogle.Fault{Prefix: "/token", Hold: hold})
		lost := make(chan error, 1)
		go func() {
			_, err := there.Exchange(context.WithoutCancel(t.Context()), refused)
			lost <- err
		}()
		eventually(t, "the leader asks Google", func() bool { return s.Google.Count("POST /token") == calls+1 })
		leader.Kill()
		clear()
		close(hold)
		var e *exchange.Error
		if err := <-lost; !errors.As(err, &e) || e.Code != oauth.TemporarilyUnavailable {
			t.Errorf("round %d: who asked the leader hears %v", round, err)
		}
		eventually(t, "half of the lease is over", func() bool {
			return number(t, conn, `SELECT count(*) FROM credentials WHERE lease_until < now() + interval '5 s'`) == 1
		})
		tokens, errs := make([]*exchange.Response, waiting), make([]error, waiting)
		var wg sync.WaitGroup
		for i := range waiting {
			wg.Go(func() { tokens[i], errs[i] = here.Exchange(t.Context(), refused) })
		}
		wg.Wait()
		for i := range waiting {
			if errs[i] != nil {
				t.Fatalf("round %d: %v", round, errs[i])
			}
			if tokens[i].AccessToken != tokens[0].AccessToken || tokens[i].AccessToken == before.AccessToken || tokens[i].GrantVersion <= before.GrantVersion {
				t.Fatalf("round %d: not one new token", round)
			}
		}
		if n := s.Google.Count("refresh") - refreshes; n < 1 || n > 2 {
			t.Errorf("round %d: %d refreshes", round, n)
		}
		works(t, c)
		must(t, leader.Start())
		await(t, leader)
	}
}

// TestMutualTLS: RFC 8705 §2: with certificates on both sides the whole system works, and the internal listener hears nobody else, neither in clear nor
// with a certificate of the same authority that is not the resource server's; the assertion is wanted all the same.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	as, rs, other := ca.Issue(t, nil, "127.0.0.1"), ca.Issue(t, nil, "spiffe://example.org/rs"), ca.Issue(t, nil, "spiffe://example.org/other")
	for name, known := range map[string][]string{
		"pin":  {"AS_INTERNAL_TLS_CLIENT_SHA256=" + rs.SHA256},
		"name": {"AS_INTERNAL_TLS_CLIENT_CA_FILE=" + ca.File, "AS_INTERNAL_TLS_CLIENT_SAN=spiffe://example.org/rs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := own(t, append(known, "AS_INTERNAL_TLS_CERT_FILE="+as.CertFile, "AS_INTERNAL_TLS_KEY_FILE="+as.KeyFile,
				"RS_INTERNAL_TLS_CERT_FILE="+rs.CertFile, "RS_INTERNAL_TLS_KEY_FILE="+rs.KeyFile, "AS_INTERNAL_TLS_CA_FILE="+ca.File)...)
			if !strings.HasPrefix(s.InternalURL, "https://") {
				t.Fatal(s.InternalURL)
			}
			works(t, signedIn(t, s))
			ask := func(p *testcert.Pair, url string) (int, error) {
				client := &http.Client{Transport: p.Transport(t, ca)}
				resp, err := client.PostForm(url+exchange.Path, asked(signedIn(t, s)).Form())
				if err != nil {
					return 0, err
				}
				_ = resp.Body.Close()
				return resp.StatusCode, nil
			}
			if status, err := ask(rs, s.InternalURL); err != nil || status != http.StatusUnauthorized {
				t.Errorf("the right certificate without an assertion: %d %v", status, err)
			}
			for what, p := range map[string]*testcert.Pair{"another's certificate": other, "no certificate": nil} {
				if status, err := ask(p, s.InternalURL); err == nil {
					t.Errorf("%s: %d", what, status)
				}
			}
			if status, err := ask(nil, strings.Replace(s.InternalURL, "https:", "http:", 1)); err == nil && status != http.StatusBadRequest {
				t.Errorf("in clear: %d", status)
			}
		})
	}
}
