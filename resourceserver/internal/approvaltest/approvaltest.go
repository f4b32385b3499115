package approvaltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// Act is what a person is asked about.
type Act struct{ Tool, Account, Question, Digest string }

// Page answers exchange.ApprovalsPath as an authorization server does. A word of the
// person is told once.
type Page struct {
	t testing.TB

	mu    sync.Mutex
	asked int
	other http.Handler // answers in its stead
	rows  map[key]*row
	links map[string]key
}

// key is whose word it is and what about. Digests of two people may be equal.
type key struct{ Tenant, Grant, Subject, digest string }

type row struct {
	act    Act
	link   string
	status exchange.ApprovalStatus
}

// New returns a page that fails the test when a request is not as agreed.
func New(t testing.TB) *Page { return &Page{t: t, rows: map[key]*row{}, links: map[string]key{}} }

// Client is a resource server's client of a server with nothing but the page.
func (p *Page) Client() *exchange.Client {
	p.t.Helper()
	mux := http.NewServeMux()
	mux.Handle("POST "+exchange.ApprovalsPath, p)
	s := httptest.NewServer(mux)
	p.t.Cleanup(s.Close)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := exchange.NewClient(exchange.ClientConfig{
		Endpoint: s.URL + exchange.Path, ClientID: "rs", HTTP: s.Client(),
		Key: jose.JSONWebKey{Key: private, KeyID: "k", Algorithm: string(jose.ES256)},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, exchange.MaxBodyBytes)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("client_assertion") == "" || r.PostForm.Get("client_assertion_type") != oauth.ClientAssertionJWTBearer {
		p.t.Errorf("the request for an approval is not authenticated, or too large: %v", err)
	}
	for _, name := range []string{"client_assertion", "client_assertion_type"} {
		r.PostForm.Del(name)
	}
	request, refused := exchange.ParseApprovalForm(r.PostForm)
	if refused != nil {
		p.t.Errorf("the request for an approval is refused: %v", refused)
		refused.Write(w)
		return
	}
	k, ok := subject(request.SubjectToken.Reveal())
	if !ok {
		p.t.Error("the request for an approval is for nobody")
	}
	k.digest = request.Digest
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.other != nil {
		p.other.ServeHTTP(w, r)
		return
	}
	found := p.rows[k]
	if found == nil {
		found = &row{act: Act{request.Tool, request.Account, request.Question, request.Digest}, link: "https://auth.example.com/approve/" + rand.Text(), status: exchange.Pending}
		p.rows[k], p.links[found.link] = found, k
	}
	answer := exchange.Approval{Status: found.status}
	if found.status == exchange.Pending {
		answer.InteractionURI, answer.ExpiresIn = found.link, 600
	} else { // told once
		delete(p.rows, k)
		delete(p.links, found.link)
	}
	answer.Write(w)
}

// subject reads who a token is about; the resource server has verified it.
func subject(token string) (key, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return key{}, false
	}
	var c struct {
		Tid, Gid, Sub string
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &c) != nil {
		return key{}, false
	}
	return key{Tenant: c.Tid, Grant: c.Gid, Subject: c.Sub}, c.Sub != "" && c.Gid != ""
}

// Say is the person's word on the page of a link.
func (p *Page) Say(link string, word exchange.ApprovalStatus) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.rows[p.links[link]]
	if found == nil || found.status != exchange.Pending {
		p.t.Fatalf("nothing is asked at %q", link)
	}
	found.status = word
}

// Shown is what the page of a link asks.
func (p *Page) Shown(link string) Act {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.rows[p.links[link]]
	if found == nil {
		p.t.Fatalf("nothing is asked at %q", link)
	}
	return found.act
}

// Asked is how often a resource server has asked.
func (p *Page) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Instead has h answer, until it is nil; what was asked and said stays.
func (p *Page) Instead(h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.other = h
}
