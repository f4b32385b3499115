package exchange_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/exchange"
	"latchkey/deploy/dev/testcert"
	"latchkey/pkg/httpx"
)

func pins(t *testing.T, sums ...string) (out [][sha256.Size]byte) {
	t.Helper()
	for _, s := range sums {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, [sha256.Size]byte(b))
	}
	return out
}

// listener serves behind peers and returns its address and how many requests
// came through.
func listener(t *testing.T, p exchange.Peers, own *httpx.KeyPair) (string, *atomic.Int32) {
	t.Helper()
	var served atomic.Int32
	p.Now = time.Now
	s := &httpx.Server{Name: "internal", Addr: "127.0.0.1:0", TLS: p.TLS(own), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- httpx.Serve(t.Context(), slog.New(slog.DiscardHandler), s) }()
	t.Cleanup(func() { // the test's context has ended
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Address(), &served
}

// TestPeers: RFC 8705 §2, with exact names and hashes: who comes to the internal listener over TLS, and who does not get as far as asking.
func TestPeers(t *testing.T) {
	t.Parallel()
	t.Run("AS-X1 AS-X2 A13 only known certificates reach the internal listener", peers)
}

func peers(t *testing.T) {
	t.Parallel()
	const name, id = "rs.latchkey.internal", "spiffe://example.org/latchkey/rs"
	ca, foreign := testcert.New(t), testcert.New(t)
	server := ca.Issue(t, nil, "127.0.0.1")
	rs := ca.Issue(t, nil, name, id)
	renewed := ca.Renew(t, rs, name, id)
	expired := ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, name)
	early := ca.Issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }, name)
	serverOnly := ca.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, name)
	commonName := ca.Issue(t, func(c *x509.Certificate) { c.Subject.CommonName = name })
	imitation := foreign.Issue(t, nil, name, id)
	own, err := httpx.LoadKeyPair(server.CertFile, server.KeyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	byName, byURI := exchange.Peers{Roots: ca.Pool(), SAN: name}, exchange.Peers{Roots: ca.Pool(), SAN: id}
	for rule, row := range map[string]struct {
		peers exchange.Peers
		show  *testcert.Pair // nil: nothing
		comes bool
	}{
		"pin of the certificate":            {exchange.Peers{Pins: pins(t, rs.SHA256)}, rs, true},
		"one of two pins":                   {exchange.Peers{Pins: pins(t, imitation.SHA256, rs.SHA256)}, rs, true},
		"pin of the key":                    {exchange.Peers{Pins: pins(t, rs.KeySHA256)}, rs, true},
		"pin of the key, renewed":           {exchange.Peers{Pins: pins(t, rs.KeySHA256)}, renewed, true},
		"pin of the certificate, renewed":   {exchange.Peers{Pins: pins(t, rs.SHA256)}, renewed, false},
		"pin, another of the authority's":   {exchange.Peers{Pins: pins(t, rs.SHA256)}, server, false},
		"pin, nothing shown":                {exchange.Peers{Pins: pins(t, rs.SHA256)}, nil, false},
		"pin, expired":                      {exchange.Peers{Pins: pins(t, expired.SHA256)}, expired, false},
		"pin, not valid yet":                {exchange.Peers{Pins: pins(t, early.SHA256)}, early, false},
		"pin of a foreign authority's":      {exchange.Peers{Pins: pins(t, imitation.SHA256)}, imitation, true}, // the operator said so
		"name":                              {byName, rs, true},
		"name, renewed":                     {byName, renewed, true},
		"URI":                               {byURI, rs, true},
		"name, another of the authority's":  {byName, server, false},
		"name, nothing shown":               {byName, nil, false},
		"name, a foreign authority's":       {byName, imitation, false},
		"name, expired":                     {byName, expired, false},
		"name, for servers only":            {byName, serverOnly, false},
		"name, in the common name only":     {byName, commonName, false},
		"part of the name":                  {exchange.Peers{Roots: ca.Pool(), SAN: "latchkey.internal"}, rs, false},
		"name as a pattern":                 {exchange.Peers{Roots: ca.Pool(), SAN: "*.latchkey.internal"}, rs, false},
		"URI of another":                    {exchange.Peers{Roots: ca.Pool(), SAN: id + "/x"}, rs, false},
		"authority without a name":          {exchange.Peers{Roots: ca.Pool()}, rs, false},
		"nothing configured":                {exchange.Peers{}, rs, false},
		"name without an authority":         {exchange.Peers{SAN: name}, rs, false},
		"pin beside an authority and names": {exchange.Peers{Pins: pins(t, imitation.SHA256), Roots: ca.Pool(), SAN: name}, rs, false},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			address, served := listener(t, row.peers, own)
			transport := row.show.Transport(t, ca)
			for range 2 { // the second one resumes, where it can
				resp, err := (&http.Client{Transport: transport}).Get("https://" + address + "/")
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if (err == nil) != row.comes {
					t.Errorf("%v", err)
				}
			}
			older := row.show.Transport(t, ca)
			older.TLSClientConfig.MaxVersion = tls.VersionTLS12
			if resp, err := (&http.Client{Transport: older}).Get("https://" + address + "/"); err == nil {
				_ = resp.Body.Close()
				t.Error("TLS 1.2 is spoken")
			}
			if resp, err := http.Get("http://" + address + "/"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("plain http answers %d", resp.StatusCode)
				}
			}
			if n := served.Load(); (n == 2) != row.comes || (n == 0) == row.comes {
				t.Errorf("%d requests came through", n)
			}
		})
	}
}

// TestRenewedCertificate: a renewed certificate is used without a restart, half a renewal changes nothing.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	ca := testcert.New(t)
	first, second := ca.Issue(t, nil, "127.0.0.1"), ca.Issue(t, nil, "127.0.0.1")
	now := time.Now()
	own, err := httpx.LoadKeyPair(first.CertFile, first.KeyFile, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		sum := sha256.Sum256(own.Certificate().Certificate[0])
		return hex.EncodeToString(sum[:])
	}
	move := func(from, to string, age time.Duration) {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err == nil {
			err = os.Chtimes(to, now.Add(age), now.Add(age))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"as it began", func() {}, first.SHA256},
		{"half a renewal", func() { move(second.CertFile, first.CertFile, time.Hour); now = now.Add(time.Minute) }, first.SHA256},
		{"not looked at yet", func() { move(second.KeyFile, first.KeyFile, time.Hour); now = now.Add(time.Minute - 1) }, first.SHA256},
		{"renewed", func() { now = now.Add(1) }, second.SHA256},
		{"gone", func() { _ = os.Remove(first.CertFile); now = now.Add(time.Hour) }, second.SHA256},
	} {
		step.do()
		if got := shown(); got != step.want {
			t.Errorf("%s: %s is shown, not %s", step.what, got, step.want)
		}
	}
	if _, err := httpx.LoadKeyPair(first.CertFile, first.KeyFile, nil); err == nil {
		t.Error("a server starts without its certificate")
	}
}
