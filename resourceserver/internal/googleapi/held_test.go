package googleapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

// large answers everything with so many bytes.
type large int64

func (l large) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(io.LimitReader(zeros{}, int64(l))), Request: r}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// reader reads answers for people.
type reader struct {
	t        *testing.T
	api      *googleapi.API
	endpoint *bearertest.Endpoint
	tool     *tool.Tool
}

func newReader(t *testing.T, size int64) *reader {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.New(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	names, err := seal.NewNames(keys, "test")
	if err != nil {
		t.Fatal(err)
	}
	type none struct{}
	type done struct {
		Done bool `json:"done"`
	}
	read, err := tool.New(tool.Description{Name: "x_read", Title: "T", Description: "D", Scopes: oauth.NewScopes("accounts"), Hints: tool.Read}, func(context.Context, none) (tool.Output[done], error) {
		return tool.Output[done]{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, &googleapi.API{Transport: large(size), Credentials: credential.New(&exchanger{}, nil), QuotaUsers: names}, bearertest.New(t, "https://rs.example.com/mcp", nil), read}
}

// read reads an answer in a call of a person, which goes on until end.
func (r *reader) read(who bearertest.Token) (end func(), err error) {
	r.t.Helper()
	who.Scope = "accounts"
	running, end := context.WithCancel(r.t.Context())
	ctx, err := r.tool.Enter(r.endpoint.As(running, r.t, who))
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := r.api.Open(ctx, "")
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := s.HTTP.Do(request(ctx, r.t, http.MethodGet))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return end, err
}

// TestHeld: the answers of one person's calls take no more than one person may have, those
// of all no more than there is; a call that has ended gives its part back, and small
// answers always have a place.
func TestHeld(t *testing.T) {
	t.Parallel()
	const size = 9 << 20
	r := newReader(t, size)
	fill := func(who bearertest.Token) (ends []func(), err error) {
		for range 100 {
			end, err := r.read(who)
			if ends = append(ends, end); err != nil {
				return ends, err
			}
		}
		return ends, nil
	}
	refused := func(err error, why string) {
		t.Helper()
		var e *tool.Error
		if !errors.As(err, &e) || e.Code != tool.CodeUnavailable || !e.Retryable || e.RetryAfter == 0 || !strings.Contains(e.Message, why) {
			t.Errorf("%v: %+v", err, e)
		}
	}
	alice, err := fill(bearertest.Token{Subject: "alice"})
	if refused(err, "of your calls"); len(alice) != 6 { // the sixth does not fit into 48 MB
		t.Errorf("%d calls", len(alice))
	}
	if _, err := r.read(bearertest.Token{Subject: "bob"}); err != nil {
		t.Errorf("another person: %v", err)
	}
	calls := 0
	for _, who := range []string{"carol", "dora", "emil", "frida"} {
		var ends []func()
		ends, err = fill(bearertest.Token{Subject: who})
		calls += len(ends)
	}
	if refused(err, "at this moment"); calls > 20 {
		t.Errorf("%d calls", calls)
	}
	for _, end := range alice {
		end()
	}
	// What has ended is given back by a goroutine of the context's.
	for err = errors.New("not yet"); err != nil && t.Context().Err() == nil; {
		_, err = r.read(bearertest.Token{Subject: "alice"})
	}
	small := newReader(t, 200<<10)
	for range 500 {
		if _, err := small.read(bearertest.Token{}); err != nil {
			t.Fatal(err)
		}
	}
}
