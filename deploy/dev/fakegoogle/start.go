package fakegoogle

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/deploy/dev/browser"
)

// Running is a server on a loopback port of its own.
type Running struct {
	*Server
	URL string
}

// Start runs a server for a test; it ends with the test. Config.Issuer is
// filled in.
func Start(t testing.TB, c Config) *Running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Issuer = "http://" + l.Addr().String()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	srv.Start()
	t.Cleanup(srv.Close)
	return &Running{s, c.Issuer}
}

// Choice is what a person does at the stand-in's pages.
type Choice struct {
	Account string   // e-mail address; default alice@example.com
	Untick  []string // scopes not to allow
	Deny    bool
}

// Proceed plays the person from one of the stand-in's pages on, until the
// browser leaves it.
func Proceed(ctx context.Context, b *browser.Browser, p *browser.Page, c Choice) (*browser.Page, error) {
	if c.Account == "" {
		c.Account = "alice@example.com"
	}
	for range 3 {
		if f, button, ok := p.Button("account", c.Account); ok {
			next, err := b.Submit(ctx, p, f, button)
			if err != nil {
				return nil, err
			}
			p = next
			continue
		}
		decision := "approve"
		if c.Deny {
			decision = "deny"
		}
		f, button, ok := p.Button("decision", decision)
		if !ok || !strings.HasPrefix(p.URL.Path, "/o/oauth2/") {
			return p, nil
		}
		f.Values["scope"] = slices.DeleteFunc(f.Values["scope"], func(s string) bool { return slices.Contains(c.Untick, s) })
		next, err := b.Submit(ctx, p, f, button)
		if err != nil {
			return nil, err
		}
		p = next
	}
	return p, nil
}

// SignIn plays a whole visit for tests of an upstream client: it returns the
// redirect back, unvisited.
func SignIn(ctx context.Context, authURL string, c Choice) (*url.URL, error) {
	start, err := url.Parse(authURL)
	if err != nil {
		return nil, err
	}
	b := browser.New()
	b.Stop = func(u *url.URL) bool { return u.Host != start.Host }
	p, err := b.Get(ctx, authURL)
	if err != nil {
		return nil, err
	}
	if p, err = Proceed(ctx, b, p, c); err != nil {
		return nil, err
	}
	if p.Status != 0 {
		return nil, fmt.Errorf("ended at %s with status %d", p.URL.Path, p.Status)
	}
	return p.URL, nil
}
