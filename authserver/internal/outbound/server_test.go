package outbound_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/outbound"
)

const limit = 1000

func TestMain(m *testing.M) {
	outbound.Total(time.Second) // slow hosts are cut off after one second here
	os.Exit(m.Run())
}

// serve starts an https host and a fetcher that may reach it.
func serve(t *testing.T, h http.HandlerFunc) (*outbound.Fetcher, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return fetcher(t, s), s.URL
}

func fetcher(t *testing.T, s *httptest.Server) *outbound.Fetcher {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	f, err := outbound.New(outbound.Config{AllowHosts: []string{strings.TrimPrefix(s.URL, "https://")}, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAnswers: AS-C2, AS-C5, AS-C6, A12: 200 with JSON within the limit, and nothing else, whatever the host answers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/good":
			_, _ = w.Write([]byte(`{}`))
		case "/suffix":
			w.Header().Set("Content-Type", "application/client-metadata+json; charset=utf-8")
			_, _ = w.Write([]byte(`{}`))
		case "/full":
			_, _ = w.Write([]byte(strings.Repeat("a", limit)))
		case "/more":
			_, _ = w.Write([]byte(strings.Repeat("a", limit+1)))
		case "/chunked":
			for range limit/100 + 1 {
				_, _ = w.Write([]byte(strings.Repeat("a", 100)))
				_ = http.NewResponseController(w).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 1<<20))
			_ = z.Close()
		case "/html":
			w.Header().Set("Content-Type", "text/html")
		case "/plus":
			w.Header().Set("Content-Type", "application/+json")
		case "/headers":
			for i := range 40 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("h", 1000))
			}
		case "/slowheaders":
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		case "/slowbody":
			for range 50 { // a byte now and then
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		case "/elsewhere":
			elsewhere.Add(1)
		default:
			var status int
			_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}
	}))
	host.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that refuses the certificate
	t.Cleanup(host.Close)
	base := host.URL
	get := func(path string) error { // a fetcher each: the budget of a host is not what this is about
		_, err := fetcher(t, host).Get(t.Context(), outbound.Request{URL: base + path, Limit: limit, Known: true})
		return err
	}
	for _, path := range []string{"/good", "/suffix", "/full"} {
		if err := get(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/more", "/chunked", "/bomb", "/html", "/plus"} {
		if err := get(path); !errors.Is(err, outbound.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, status := range []int{201, 204, 206, 301, 302, 303, 307, 308, 400, 401, 404, 410, 429, 500, 503} {
		var e *outbound.StatusError
		if err := get(fmt.Sprintf("/%d", status)); !errors.As(err, &e) || e.Status != status {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, path := range []string{"/headers", "/slowheaders", "/slowbody"} {
		start := time.Now()
		err := get(path)
		var status *outbound.StatusError
		if err == nil || errors.Is(err, outbound.ErrRefused) || errors.Is(err, outbound.ErrInvalid) || errors.As(err, &status) || time.Since(start) > 4*time.Second {
			t.Errorf("%s: %v after %s, want doubt", path, err, time.Since(start))
		}
		if err != nil && strings.Contains(err.Error(), "127.0.0.1:443") {
			t.Errorf("%s: %v tells an address", path, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	stranger, err := outbound.New(outbound.Config{AllowHosts: []string{strings.TrimPrefix(base, "https://")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Get(t.Context(), outbound.Request{URL: base + "/good", Limit: limit}); err == nil {
		t.Error("an untrusted certificate was accepted")
	}
}

// TestRequestTellsNothing: what a stranger's host is sent has no cookie, no credential, no referrer and no person's address.
func TestRequestTellsNothing(t *testing.T) {
	t.Parallel()
	var got http.Header
	f, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got == nil {
			got = r.Header.Clone()
		}
		http.SetCookie(w, &http.Cookie{Name: "tracking", Value: "x"})
		w.Header().Set("Content-Type", "application/json")
		if len(r.Cookies()) > 0 || !r.Close {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	for range 2 { // the second would bring the cookie
		if _, err := f.Get(t.Context(), outbound.Request{URL: base + "/", Limit: limit, Source: "203.0.113.9"}); err != nil {
			t.Fatal(err)
		}
	}
	for name := range got {
		switch name {
		case "User-Agent", "Accept", "Accept-Encoding", "Connection":
		default:
			t.Errorf("sends %s: %s", name, got.Get(name))
		}
	}
	if got.Get("User-Agent") != "Latchkey" || got.Get("Accept-Encoding") != "identity" {
		t.Error(got)
	}
}

// TestFreshness: AS-C7, AS-C8: HTTP's caching headers count inside our bounds, however absurd they are.
func TestFreshness(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for name, row := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"nothing said":           {http.Header{}, outbound.MinFresh},
		"an hour":                {http.Header{"Cache-Control": {"max-age=3600"}}, time.Hour},
		"quoted, other case":     {http.Header{"Cache-Control": {`Public, Max-Age="3600"`}}, time.Hour},
		"no-store":               {http.Header{"Cache-Control": {"max-age=3600, no-store"}}, outbound.MinFresh},
		"no-cache in another":    {http.Header{"Cache-Control": {"max-age=3600", "no-cache"}}, outbound.MinFresh},
		"nothing at all":         {http.Header{"Cache-Control": {"max-age=0"}}, outbound.MinFresh},
		"negative":               {http.Header{"Cache-Control": {"max-age=-5"}}, outbound.MinFresh},
		"a year":                 {http.Header{"Cache-Control": {"max-age=31536000, immutable"}}, outbound.MaxFresh},
		"beyond 32 bits":         {http.Header{"Cache-Control": {"max-age=99999999999"}}, outbound.MinFresh},
		"no number":              {http.Header{"Cache-Control": {"max-age=soon"}}, outbound.MinFresh},
		"s-maxage is not for us": {http.Header{"Cache-Control": {"s-maxage=3600"}}, outbound.MinFresh},
		"aged on the way":        {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"1800"}}, 30 * time.Minute},
		"aged beyond its life":   {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"7200"}}, outbound.MinFresh},
		"a negative age":         {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"-7200"}}, time.Hour},
		"Expires":                {http.Header{"Expires": {at(2 * time.Hour)}}, 2 * time.Hour},
		"Expires yesterday":      {http.Header{"Expires": {at(-24 * time.Hour)}}, outbound.MinFresh},
		"Expires in ten years":   {http.Header{"Expires": {at(87600 * time.Hour)}}, outbound.MaxFresh},
		"max-age beats Expires":  {http.Header{"Cache-Control": {"max-age=600"}, "Expires": {at(2 * time.Hour)}}, 10 * time.Minute},
		"Expires 0":              {http.Header{"Expires": {"0"}}, outbound.MinFresh},
		"a flood of max-age":     {http.Header{"Cache-Control": {strings.Repeat("max-age=1,", 500) + "max-age=600"}}, 10 * time.Minute},
		"empty directives":       {http.Header{"Cache-Control": {",,=,max-age"}}, outbound.MinFresh},
	} {
		if got := outbound.Freshness(row.header, now); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// TestOneFetch: 32 callers of one address share a fetch, and one who leaves takes nothing from the others.
func TestOneFetch(t *testing.T) {
	t.Parallel()
	var fetches atomic.Int64
	begun, proceed := make(chan struct{}), make(chan struct{})
	f, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if fetches.Add(1) == 1 {
			close(begun)
		}
		<-proceed
		w.Header().Set("Content-Type", "application/json")
	})
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := f.Get(leaving, outbound.Request{URL: base + "/x", Limit: limit})
		left <- err
	}()
	<-begun
	var wg sync.WaitGroup
	errs := make(chan error, 31)
	for range 31 {
		wg.Go(func() {
			_, err := f.Get(t.Context(), outbound.Request{URL: base + "/x", Limit: limit})
			errs <- err
		})
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for n := fetches.Load(); n != 1; n = fetches.Load() {
		t.Fatalf("%d fetches", n)
	}
	close(proceed)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestFloodOfStrangers: OPERATIONS 3.3: however many addresses strangers name, from one source or from many, hosts that are
// known go on being served, and who is turned away is told when to come back.
func TestFloodOfStrangers(t *testing.T) {
	t.Parallel()
	var fetches atomic.Int64
	f, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.Header().Set("Content-Type", "application/json")
	})
	busy := 0
	for i := range 500 {
		source := "203.0.113.9"
		if i%2 == 0 {
			source = fmt.Sprintf("198.51.%d.%d", i/250, i%250)
		}
		_, err := f.Get(t.Context(), outbound.Request{URL: fmt.Sprintf("%s/stranger/%d", base, i), Limit: limit, Source: source})
		var e *outbound.BusyError
		switch {
		case errors.As(err, &e):
			busy++
			if e.RetryAfter <= 0 {
				t.Fatal("turned away without a time to come back")
			}
		case err != nil:
			t.Fatal(err)
		}
		if i%100 == 0 {
			if _, err := f.Get(t.Context(), outbound.Request{URL: base + "/known", Limit: limit, Known: true}); err != nil {
				t.Fatalf("a known host after %d strangers: %v", i, err)
			}
		}
	}
	if got := fetches.Load(); busy < 400 || got > 100 {
		t.Errorf("%d of 500 turned away, %d fetches", busy, got)
	}
}

// TestFailuresAreNotKept: AS-C9: after a failure the next call asks again.
func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	var fetches atomic.Int64
	f, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if fetches.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	r := outbound.Request{URL: base + "/x", Limit: limit}
	if _, err := f.Get(t.Context(), r); err == nil {
		t.Fatal("a 500 was accepted")
	}
	if _, err := f.Get(t.Context(), r); err != nil {
		t.Error(err)
	}
}
