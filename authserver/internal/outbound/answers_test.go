package outbound_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/authserver/internal/outbound"
)

// TestAnswers: what counts as a document, from a real https server.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprintf("AS-C5 A12 a redirect %d is not followed", status), func(t *testing.T) {
			t.Parallel()
			var elsewhere atomic.Int32
			f, at := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/document" {
					elsewhere.Add(1)
				}
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "{}")
			})
			refusedStatus(t, f, at, status)
			if elsewhere.Load() > 0 {
				t.Error("the redirect was followed")
			}
		})
	}
	for _, status := range []int{201, 202, 203, 204, 206, 226, 304, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503} {
		t.Run(fmt.Sprintf("AS-C5 status %d is no document", status), func(t *testing.T) {
			t.Parallel()
			f, at := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				if status != 204 && status != 304 {
					_, _ = io.WriteString(w, "{}")
				}
			})
			refusedStatus(t, f, at, status)
		})
	}
	for mediaType, good := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "APPLICATION/JSON": true, "application/client+json": true,
		"": false, "text/html": false, "text/json": false, "text/plain; application/json": false, "application/javascript": false, "application/jsonp": false, "application/x-json": false, "application/+json": false, "+json": false, "json": false,
		"application/json, text/html": false, "application/json/x": false, "multipart/mixed; boundary=x": false, "image/svg+json": false,
	} {
		t.Run("AS-C5 media type "+strconv.Quote(mediaType), func(t *testing.T) {
			t.Parallel()
			f, at := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{mediaType}
				_, _ = io.WriteString(w, "{}")
			})
			doc, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: 100})
			if good && (err != nil || string(doc.Body) != "{}") {
				t.Errorf("refused: %v", err)
			}
			if !good && !errors.Is(err, outbound.ErrInvalid) {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}

func refusedStatus(t *testing.T, f *outbound.Fetcher, at string, want int) {
	t.Helper()
	doc, err := f.Get(t.Context(), outbound.Request{URL: at + "/document", Limit: 100})
	var status *outbound.StatusError
	if doc != nil || !errors.As(err, &status) || status.Status != want {
		t.Errorf("%v %v", doc, err)
	}
}

// TestSizes: no host can make this server read or keep more than was asked for.
func TestSizes(t *testing.T) {
	t.Parallel()
	const limit = 5000
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20))
	_ = z.Close()
	var written atomic.Int64
	bodies := map[string]http.HandlerFunc{
		"exactly": func(w http.ResponseWriter, _ *http.Request) { document(w, strings.Repeat(" ", limit)) },
		"more": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(limit+1))
			document(w, strings.Repeat(" ", limit+1))
		},
		"chunks": func(w http.ResponseWriter, _ *http.Request) {
			for range limit + 1 {
				document(w, " ")
			}
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				n, err := w.Write(make([]byte, 1<<14))
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		},
		"gzip": func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("asked for encoding %q", got)
			}
			w.Header().Set("Content-Encoding", "gzip")
			document(w, zipped.String()[:100])
		},
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			document(w, "{")
		},
		"header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", 20<<10))
			document(w, "{}")
		},
	}
	for path, want := range map[string]error{"exactly": nil, "more": outbound.ErrInvalid, "chunks": outbound.ErrInvalid, "endless": outbound.ErrInvalid, "gzip": outbound.ErrInvalid, "short": errDoubt, "header": errDoubt} {
		t.Run("AS-C12 a body or header: "+path, func(t *testing.T) {
			t.Parallel()
			f, at := serve(t, bodies[path])
			doc, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: limit})
			switch {
			case want == errDoubt:
				isDoubt(t, err)
			case !errors.Is(err, want):
				t.Errorf("%v, want %v", err, want)
			case want == nil && len(doc.Body) != limit:
				t.Errorf("%d bytes", len(doc.Body))
			}
			if path == "endless" && written.Load() > 16<<20 {
				t.Errorf("the server could send %d bytes", written.Load())
			}
		})
	}
	t.Run("AS-C12 a fetch without a sensible limit is not made", func(t *testing.T) {
		t.Parallel()
		f, at := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was made") })
		for _, limit := range []int64{0, -1, 1<<20 + 1} {
			if _, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: limit}); err == nil {
				t.Errorf("limit %d was accepted", limit)
			}
		}
	})
}

var errDoubt = errors.New("neither a document nor a verdict")

// isDoubt: a network that fails says nothing about the document.
func isDoubt(t *testing.T, err error) {
	t.Helper()
	var status *outbound.StatusError
	var busy *outbound.BusyError
	if err == nil || errors.Is(err, outbound.ErrRefused) || errors.Is(err, outbound.ErrInvalid) || errors.As(err, &status) || errors.As(err, &busy) {
		t.Errorf("%v is no doubt about the network", err)
	}
}

// TestRequestTellsNothing: a stranger's host learns who we are and nothing else.
func TestRequestTellsNothing(t *testing.T) {
	t.Parallel()
	t.Run("A12 no cookie, credential or referrer, also after the host set some", func(t *testing.T) {
		t.Parallel()
		var requests atomic.Int32
		f, at := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			names := slices.Sorted(maps.Keys(r.Header))
			if !slices.Equal(names, []string{"Accept", "Accept-Encoding", "Connection", "User-Agent"}) {
				t.Errorf("headers %v", r.Header)
			}
			if got := r.Header.Get("User-Agent"); got != "Latchkey" {
				t.Errorf("user agent %q", got)
			}
			if r.Method != http.MethodGet || r.ContentLength != 0 || r.RequestURI != "/a/b?c=%2f" || len(r.TLS.PeerCertificates) != 0 {
				t.Errorf("%s %s with %d bytes", r.Method, r.RequestURI, r.ContentLength)
			}
			w.Header().Set("Set-Cookie", "a=b; Path=/; Secure")
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			if requests.Load() == 1 {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			document(w, "{}")
		})
		for range 3 {
			_, _ = f.Get(t.Context(), outbound.Request{URL: at + "/a/b?c=%2f", Limit: 100, Source: "192.0.2.1"})
		}
		if requests.Load() != 3 {
			t.Errorf("%d requests", requests.Load())
		}
	})
	t.Run("A12 no connection is used twice", func(t *testing.T) {
		t.Parallel()
		var last atomic.Pointer[tls.ConnectionState] // one for each connection; a port may come again
		f, at := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if last.Swap(r.TLS) == r.TLS {
				t.Error("the connection stayed open")
			}
			document(w, "{}")
		})
		for range 3 {
			if _, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: 100}); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestServersIdentity: only the named host's own certificate counts.
func TestServersIdentity(t *testing.T) {
	t.Parallel()
	hidden := func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a request was sent")
		document(w, "{}")
	}
	start := func(t *testing.T, change func(*httptest.Server)) *httptest.Server {
		t.Helper()
		server := httptest.NewUnstartedServer(http.HandlerFunc(hidden))
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about each refused handshake
		change(server)
		t.Cleanup(server.Close)
		return server
	}
	fetch := func(t *testing.T, at string, server *httptest.Server, trusted bool) {
		t.Helper()
		config := outbound.Config{AllowHosts: []string{at}}
		if trusted {
			config.RootCAs = roots(server)
		}
		f, err := outbound.New(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Get(t.Context(), outbound.Request{URL: "https://" + at + "/", Limit: 100})
		isDoubt(t, err)
	}
	t.Run("A12 a certificate of an unknown authority", func(t *testing.T) {
		t.Parallel()
		server := start(t, (*httptest.Server).StartTLS)
		fetch(t, server.Listener.Addr().String(), server, false)
	})
	t.Run("A12 a certificate for another name", func(t *testing.T) {
		t.Parallel()
		server := start(t, (*httptest.Server).StartTLS)
		_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
		fetch(t, "localhost:"+port, server, true)
	})
	t.Run("A12 TLS 1.1", func(t *testing.T) {
		t.Parallel()
		server := start(t, func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // the test is that it is refused
			s.StartTLS()
		})
		fetch(t, server.Listener.Addr().String(), server, true)
	})
	t.Run("A12 no TLS", func(t *testing.T) {
		t.Parallel()
		server := start(t, (*httptest.Server).Start)
		fetch(t, server.Listener.Addr().String(), server, false)
	})
}
