package googleapi_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/option"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/googleapi"
)

// tlsGoogle is the stand-in over TLS; conns counts accepted connections and proto
// the requests of each HTTP version.
type tlsGoogle struct {
	*httptest.Server
	conns atomic.Int64
	proto sync.Map
	token string
}

func newTLSGoogle(t *testing.T, http2 bool) *tlsGoogle {
	t.Helper()
	g := &tlsGoogle{Server: httptest.NewUnstartedServer(nil)}
	const redirect = "http://127.0.0.1:1/cb"
	origin := "https://" + g.Listener.Addr().String()
	stand, err := fakegoogle.New(fakegoogle.Config{Issuer: origin, Clients: []fakegoogle.Client{{ID: "id", Secret: "sec", RedirectURIs: []string{redirect}}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.proto.Store(r.Proto, true)
		stand.ServeHTTP(w, r)
	})
	g.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			g.conns.Add(1)
		}
	}
	g.EnableHTTP2 = http2
	g.StartTLS()
	t.Cleanup(g.Close)

	// Signing in is done in clear, at a listener of its own.
	plain := httptest.NewServer(stand)
	t.Cleanup(plain.Close)
	oauth := oauth2.Config{ClientID: "id", ClientSecret: "sec", RedirectURL: redirect, Scopes: []string{"openid", "email", drive.DriveReadonlyScope},
		Endpoint: oauth2.Endpoint{AuthURL: plain.URL + "/o/oauth2/v2/auth", TokenURL: plain.URL + "/token"}}
	verifier := oauth2.GenerateVerifier()
	back, err := fakegoogle.SignIn(t.Context(), oauth.AuthCodeURL("s", oauth2.AccessTypeOffline, oauth2.S256ChallengeOption(verifier)), fakegoogle.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := oauth.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	g.token = token.AccessToken
	return g
}

// service is a product's client over the transport of the process, which trusts
// the stand-in besides.
func (g *tlsGoogle) service(t *testing.T) *drive.Service {
	t.Helper()
	transport := googleapi.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	trusted := x509.NewCertPool()
	trusted.AddCert(g.Certificate())
	transport.TLSClientConfig.RootCAs = trusted
	chain := googleapi.Limiter(googleapi.Retrier(&oauth2.Transport{Base: googleapi.NewOpener(transport), Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: g.token})}), googleapi.MaxResponse)
	s, err := drive.NewService(t.Context(), option.WithHTTPClient(&http.Client{Transport: chain}), option.WithEndpoint(g.URL+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func search(ctx context.Context, s *drive.Service) error {
	page, err := s.Files.List().PageSize(10).Context(ctx).Do()
	if err == nil && len(page.Files) == 0 {
		err = fmt.Errorf("no files")
	}
	return err
}

// TestOneConnectionOverHTTP2: two hundred calls, sixteen at a time, to one host of
// Google are streams of one TCP connection.
func TestOneConnectionOverHTTP2(t *testing.T) {
	t.Parallel()
	g := newTLSGoogle(t, true)
	s := g.service(t)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		wg.Go(func() {
			for next.Add(1) <= 200 {
				if err := search(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, older := g.proto.Load("HTTP/1.1"); older || g.conns.Load() != 1 {
		t.Errorf("%d connections, HTTP/1.1: %v", g.conns.Load(), older)
	}
}

// TestOneConnectionOverHTTP1: calls one after the other use one connection where
// a proxy speaks no HTTP/2. It is in a bubble because net/http gives a connection up
// when the goroutine that wrote the request has not said so 50 ms after the answer: in
// a bubble these do not pass while it can run, however busy the machine is.
func TestOneConnectionOverHTTP1(t *testing.T) {
	t.Parallel()
	g := newTLSGoogle(t, false)
	synctest.Test(t, func(t *testing.T) {
		s := g.service(t)
		for range 50 {
			if err := search(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, newer := g.proto.Load("HTTP/2.0"); newer || g.conns.Load() != 1 {
		t.Errorf("%d connections, HTTP/2: %v", g.conns.Load(), newer)
	}
}

// TestLateEndKeepsConnection: the end of a chunked answer may come after the JSON,
// in a packet of its own; nobody reads so far, and the connection is kept.
func TestLateEndKeepsConnection(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	read := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"files":[]}`)
		_ = http.NewResponseController(w).Flush()
		<-read
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	synctest.Test(t, func(t *testing.T) {
		transport := googleapi.NewTransport()
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: googleapi.Limiter(transport, 1<<20)}
		for range 5 {
			resp, err := client.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			var v map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
				t.Fatal(err)
			}
			read <- struct{}{}
			_ = resp.Body.Close()
		}
	})
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 5 calls", n)
	}
}

// TestFirstThatFailsBlocksNobody: the others try for themselves.
func TestFirstThatFailsBlocksNobody(t *testing.T) {
	t.Parallel()
	const dead = "http://127.0.0.1:1" // no system gives this port to anyone by chance
	transport := googleapi.NewTransport()
	transport.Proxy = nil
	client := &http.Client{Transport: googleapi.NewOpener(transport), Timeout: time.Minute}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			resp, err := client.Get(dead)
			if err == nil {
				_ = resp.Body.Close()
				t.Error("an answer of nobody")
			} else if !strings.Contains(err.Error(), "refused") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
