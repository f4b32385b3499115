package googleapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	api "google.golang.org/api/googleapi"

	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// script answers requests from a list, the last for ever.
type script struct {
	answers []func() (*http.Response, error)
	times   []time.Time
}

func (s *script) RoundTrip(*http.Request) (*http.Response, error) {
	i := min(len(s.times), len(s.answers)-1)
	s.times = append(s.times, time.Now())
	return s.answers[i]()
}

func status(code int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}, nil
	}
}

func cut() (*http.Response, error) { return nil, errors.New("connection reset") }

func request(ctx context.Context, t *testing.T, method string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "https://www.googleapis.com/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRetry: what is repeated, how often, and how long it waits.
func TestRetry(t *testing.T) {
	t.Parallel()
	const limited = `{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}]}}`
	const forbidden = `{"error":{"code":403,"errors":[{"reason":"forbidden"}]}}`
	toolError := func() (*http.Response, error) { return nil, &tool.Error{Code: tool.CodeReconnect} }
	for name, c := range map[string]struct {
		method    string
		answers   []func() (*http.Response, error)
		attempts  int
		status    int // 0: error
		atLeast   time.Duration
		atMost    time.Duration
		untouched string // the body must still be there
	}{
		"429 then fine":                   {"GET", []func() (*http.Response, error){status(429, ""), status(200, "ok")}, 2, 200, 0, time.Second, "ok"},
		"403 rate limit then fine":        {"GET", []func() (*http.Response, error){status(403, limited), status(200, "ok")}, 2, 200, 0, time.Second, "ok"},
		"403 for another reason":          {"GET", []func() (*http.Response, error){status(403, forbidden)}, 1, 403, 0, 0, forbidden},
		"reset then fine":                 {"GET", []func() (*http.Response, error){cut, status(200, "")}, 2, 200, 0, time.Second, ""},
		"bounded":                         {"GET", []func() (*http.Response, error){status(503, "x")}, 4, 503, 0, 3 * time.Second, "x"},
		"a POST is never repeated":        {"POST", []func() (*http.Response, error){status(503, "")}, 1, 503, 0, 0, ""},
		"a reset POST neither":            {"POST", []func() (*http.Response, error){cut}, 1, 0, 0, 0, ""},
		"Retry-After is honoured":         {"GET", []func() (*http.Response, error){status(429, "", "Retry-After", "7"), status(200, "")}, 2, 200, 7 * time.Second, 8 * time.Second, ""},
		"a long Retry-After is handed on": {"GET", []func() (*http.Response, error){status(429, "", "Retry-After", "3000")}, 1, 429, 0, 0, ""},
		"our own refusal":                 {"GET", []func() (*http.Response, error){toolError}, 1, 0, 0, 0, ""},
		"404":                             {"GET", []func() (*http.Response, error){status(404, "")}, 1, 404, 0, 0, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: c.answers}
			began := time.Now()
			resp, err := googleapi.Retrier(s).RoundTrip(request(t.Context(), t, c.method))
			took := time.Since(began)
			if len(s.times) != c.attempts || took < c.atLeast || took > c.atMost {
				t.Errorf("%s: %d attempts in %v", name, len(s.times), took)
			}
			if (err != nil) != (c.status == 0) || (err == nil && resp.StatusCode != c.status) {
				t.Errorf("%s: %v %v", name, resp, err)
			}
			if err == nil {
				if b, _ := io.ReadAll(resp.Body); string(b) != c.untouched {
					t.Errorf("%s: body %q", name, b)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &script{answers: []func() (*http.Response, error){status(429, "", "Retry-After", "5")}}
		began := time.Now()
		if resp, err := googleapi.Retrier(s).RoundTrip(request(ctx, t, "GET")); err != nil || resp.StatusCode != 429 || time.Since(began) > 0 {
			t.Error("it waited although the deadline comes first", err)
		}
	})
}

// TestIdempotentPost: a POST that was marked is repeated with its whole body.
func TestIdempotentPost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		answers := []int{503, 429, 200}
		next := roundTrip(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			status := answers[len(bodies)]
			bodies = append(bodies, string(b))
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		r, err := http.NewRequestWithContext(googleapi.Idempotent(t.Context()), http.MethodPost, "https://gmail.googleapis.com/x", strings.NewReader("whole"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := googleapi.Retrier(next).RoundTrip(r)
		if err != nil || resp.StatusCode != 200 || strings.Join(bodies, ",") != "whole,whole,whole" {
			t.Error(resp, err, bodies)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestActivationLink: the page that enables an API comes from Google's error, and
// no other address does.
func TestActivationLink(t *testing.T) {
	t.Parallel()
	const page = "https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project=123"
	for name, c := range map[string]struct{ body, want string }{
		"details":       {`{"error":{"details":[{"reason":"SERVICE_DISABLED","metadata":{"activationUrl":"` + page + `"}}]}}`, page},
		"sentence":      {`{"error":{"message":"Gmail API has not been used. Enable it by visiting ` + page + ` then retry.","errors":[{"reason":"accessNotConfigured"}]}}`, page},
		"extended help": {`{"error":{"errors":[{"reason":"accessNotConfigured","extendedHelp":"https://console.developers.google.com/apis/x"}]}}`, "https://console.developers.google.com/apis/x"},
		"another host":  {`{"error":{"message":"see https://evil.test/apis/ now","errors":[{"reason":"accessNotConfigured"}]}}`, ""},
		"looks like it": {`{"error":{"details":[{"reason":"SERVICE_DISABLED","metadata":{"activationUrl":"https://console.developers.google.com.evil.test/apis/"}}]}}`, ""},
		"no link":       {`{"error":{"errors":[{"reason":"accessNotConfigured"}]}}`, ""},
	} {
		var e *tool.Error
		if !errors.As(googleapi.Error("x", &api.Error{Code: 403, Body: c.body}), &e) || e.Code != tool.CodeMisconfigured || e.Link != c.want || e.Person() {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestLimit: an answer that is too large is an error, never a cut result.
func TestLimit(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{0: true, 9: true, 10: true, 11: false, 5000: false} {
		s := &script{answers: []func() (*http.Response, error){status(200, strings.Repeat("a", n))}}
		resp, err := googleapi.Limiter(s, 10).RoundTrip(request(t.Context(), t, "GET"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if (err == nil) != ok || len(b) > 10 {
			t.Errorf("%d bytes: %d read, %v", n, len(b), err)
		}
		if !ok {
			var e *tool.Error
			if !errors.As(googleapi.Error("reading", err), &e) || e.Code != tool.CodeTooLarge {
				t.Errorf("%d bytes: mapped to %v", n, e)
			}
		}
	}
}

// TestNoContentInErrors: what reaches the log holds neither the URL nor Google's words.
func TestNoContentInErrors(t *testing.T) {
	t.Parallel()
	_, err := (&http.Client{Transport: &script{answers: []func() (*http.Response, error){cut}}}).Get("https://gmail.googleapis.com/?q=canary")
	if text := googleapi.Error("listing", err).Error(); strings.Contains(text, "canary") {
		t.Error(text)
	}
}
