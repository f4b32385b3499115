package accesstoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/accesstoken"
)

// server is an authorization server's key endpoint that takes 100 ms.
type server struct {
	mu      sync.Mutex
	body    string
	down    bool
	fetches int
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.set(func() { s.fetches++ })
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(100 * time.Millisecond):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.body))}, nil
}

func jwks(t *testing.T, keys ...jose.JSONWebKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func remote(s *server) *accesstoken.RemoteKeys {
	return &accesstoken.RemoteKeys{URL: "https://auth.example.com/jwks", HTTP: &http.Client{Transport: s}}
}

func has(t *testing.T, k *accesstoken.RemoteKeys, kid string) {
	t.Helper()
	if _, err := k.Key(t.Context(), kid); err != nil {
		t.Errorf("key %s: %v", kid, err)
	}
}

// TestSingleFlight: 50 callers, one fetch; a caller that leaves fails nobody.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	body := jwks(t, ec(t, "k1"))
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: body}
		k := remote(s)
		gone, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := k.Key(gone, "k1"); errors.Is(err, accesstoken.ErrInvalid) || err == nil {
				t.Error("a caller that left got", err)
			}
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { has(t, k, "k1") })
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if s.count() != 1 {
			t.Errorf("%d fetches", s.count())
		}
	})
}

// TestOutageKeepsKeys: known keys serve through an outage of any length, and the
// set is fetched again when it is over.
func TestOutageKeepsKeys(t *testing.T) {
	t.Parallel()
	first, second := ec(t, "k1"), ec(t, "k2")
	before, after := jwks(t, first), jwks(t, first, second)
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: before}
		k := remote(s)
		has(t, k, "k1")
		s.set(func() { s.down = true })
		for range 100 {
			time.Sleep(time.Minute) // the bubble's clock
			has(t, k, "k1")
		}
		synctest.Wait()
		if n := s.count(); n > 102 {
			t.Errorf("%d fetches in 100 minutes", n)
		}
		// A key id that is new in an outage is doubt, not a refusal: the key may
		// have been rotated meanwhile (DESIGN §1.5).
		time.Sleep(time.Minute)
		if _, err := k.Key(t.Context(), "k2"); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
			t.Error("a new key id in an outage:", err)
		}
		s.set(func() { s.down, s.body = false, after })
		time.Sleep(3 * time.Second)
		has(t, k, "k2")
	})
}

// TestUnknownKid: forged key ids cause at most one fetch per pause, and a rotated
// key is found after it.
func TestUnknownKid(t *testing.T) {
	t.Parallel()
	first, second := ec(t, "k1"), ec(t, "k2")
	before, after := jwks(t, first), jwks(t, first, second)
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: before}
		k := remote(s)
		has(t, k, "k1")
		if n := k.Unknown(); n != 0 {
			t.Errorf("%d unknown key ids before there was one", n)
		}
		for range 1000 {
			if _, err := k.Key(t.Context(), "forged"); !errors.Is(err, accesstoken.ErrInvalid) {
				t.Fatal(err)
			}
			time.Sleep(60 * time.Millisecond) // one minute in all
		}
		if n := s.count(); n > 3 {
			t.Errorf("%d fetches in a minute", n)
		}
		if n := k.Unknown(); n != 1000 {
			t.Errorf("%d unknown key ids counted", n)
		}
		s.set(func() { s.body = after })
		time.Sleep(31 * time.Second)
		has(t, k, "k2")
	})
}

// TestNeverReached: without any keys everything is doubt; fetches are spaced.
func TestNeverReached(t *testing.T) {
	t.Parallel()
	body := jwks(t, ec(t, "k1"))
	synctest.Test(t, func(t *testing.T) {
		s := &server{down: true, body: body}
		k := remote(s)
		for range 100 {
			if _, err := k.Key(t.Context(), "k1"); err == nil || errors.Is(err, accesstoken.ErrInvalid) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if k.Ready(t.Context()) == nil {
			t.Error("ready without keys")
		}
		if n := s.count(); n > 2 {
			t.Errorf("%d fetches in a second", n)
		}
		s.set(func() { s.down = false })
		time.Sleep(2 * time.Second)
		if err := k.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		has(t, k, "k1")
		s.set(func() { s.down = true })
		if err := k.Ready(t.Context()); err != nil {
			t.Error("not ready although keys are in memory:", err)
		}
	})
}

// TestRetiredKey: a key that left the set is refused after the next fetch.
func TestRetiredKey(t *testing.T) {
	t.Parallel()
	first, second := ec(t, "k1"), ec(t, "k2")
	before, after := jwks(t, first), jwks(t, second)
	synctest.Test(t, func(t *testing.T) {
		s := &server{body: before}
		k := remote(s)
		has(t, k, "k1")
		s.set(func() { s.body = after })
		time.Sleep(6 * time.Minute)
		has(t, k, "k1") // starts the fetch
		time.Sleep(time.Second)
		if _, err := k.Key(t.Context(), "k1"); !errors.Is(err, accesstoken.ErrInvalid) {
			t.Error("a retired key:", err)
		}
	})
}

// TestKeySets: what a set may contain, and what makes it unusable.
func TestKeySets(t *testing.T) {
	t.Parallel()
	key := ec(t, "k1")
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	good := jwks(t, key)
	for name, c := range map[string]struct {
		body string
		ok   bool
	}{
		"good":                          {good, true},
		"unknown key type beside it":    {strings.Replace(good, `[`, `[{"kty":"AKP","kid":"pq","alg":"ML-DSA-65","pub":"AA"},`, 1), true},
		"broken key beside it":          {strings.Replace(good, `[`, `[{"kty":"EC","kid":"x","crv":"P-256","x":"AA","y":"AA"},`, 1), true},
		"private key, never to be used": {string(private), false},
		"symmetric key":                 {`{"keys":[{"kty":"oct","kid":"k1","k":"AAAA","alg":"HS256"}]}`, false},
		"no keys":                       {`{"keys":[]}`, false},
		"HTML":                          {`<html>`, false},
		"too large":                     {strings.Repeat(" ", 70<<10) + good, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := remote(&server{body: c.body}).Key(t.Context(), "k1")
			if (err == nil) != c.ok || errors.Is(err, accesstoken.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
