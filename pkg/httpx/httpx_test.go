package httpx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/httpx"
)

// TestPanicIsNotShown: never a stack trace to a client, and the log names the request.
func TestPanicIsNotShown(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	srv := httptest.NewServer(httpx.Observe(slog.New(slog.NewJSONHandler(&logs, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("boom-canary")
	})))
	resp, err := http.Get(srv.URL + "/x/" + strings.Repeat("path-canary", 4) + "?code=query-canary")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	srv.Close()
	if resp.StatusCode != 500 || strings.Contains(string(body), "boom") || strings.Contains(string(body), "goroutine") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if id := resp.Header.Get("X-Request-Id"); id == "" || !strings.Contains(logs.String(), id) {
		t.Error("the log does not name the request id")
	}
	if strings.Contains(logs.String(), "query-canary") {
		t.Error("a query, which may carry a code, was logged")
	}
	if strings.Contains(logs.String(), "path-canary") || !strings.Contains(logs.String(), `"/x/[44 characters]"`) {
		t.Errorf("a part of a path that may be a link's secret was logged: %s", logs.String())
	}
}

// TestPortTaken: one clear sentence that names the setting.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = (&httpx.Server{Name: "public", Setting: "AS_LISTEN", Addr: l.Addr().String()}).Listen()
	if err == nil || !strings.Contains(err.Error(), "already in use") || !strings.Contains(err.Error(), "AS_LISTEN") {
		t.Error(err)
	}
}

// TestShutdownLetsRequestsFinish: an interrupted deployment loses no answer.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := &httpx.Server{Name: "public", Setting: "X", Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "finished")
	})}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpx.Serve(ctx, slog.New(slog.DiscardHandler), s) }()
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.Address())
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		got <- string(b)
	}()
	<-entered
	cancel()
	close(release)
	if b := <-got; b != "finished" {
		t.Error(b)
	}
	select {
	case err := <-served:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("did not shut down")
	}
}
