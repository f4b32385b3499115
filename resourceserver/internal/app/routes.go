package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/upload"
)

// routes is the route table: exact paths and nothing else. It is a map and no
// http.ServeMux, because that redirects unclean paths, and machine endpoints
// must not redirect (PROTOCOL 3.6 no. 17). A trailing slash is another resource
// identifier and answered 404 (no. 4).
func (s *server) routes(log *slog.Logger) http.Handler {
	return httpx.Observe(log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := s.table.Load()
		switch r.URL.Path {
		case "/livez":
			livez(w, r)
			return
		case "/readyz":
			s.readyz(w, r)
			return
		case download.Path:
			t.find(t.all, r.Host).guard.Host(s.downloads).ServeHTTP(w, r)
			return
		case upload.Path:
			t.find(t.all, r.Host).guard.Host(s.uploads).ServeHTTP(w, r)
			return
		}
		if m := t.find(t.at[r.URL.Path], r.Host); m != nil {
			m.guard.MCP(s.limits.Requests(m.mcp)).ServeHTTP(w, r)
			return
		}
		if m := t.find(t.about[r.URL.Path], r.Host); m != nil {
			m.guard.Host(m.metadata).ServeHTTP(w, r)
			return
		}
		m := t.find(t.all, r.Host)
		m.guard.Host(notFound(m.of.Canonical)).ServeHTTP(w, r)
	}))
}

func notFound(resource oauth.Resource) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"error_description": "There is nothing here. The MCP endpoint is " + resource.String() + " (exactly, without a trailing slash)."})
	}
}

// livez answers while the process runs: a restart would help nothing else.
func livez(w http.ResponseWriter, _ *http.Request) { health(w, http.StatusOK, "ok") }

const readyTimeout = 3 * time.Second

// readyz says whether tokens can be verified: keys are in memory or can be
// fetched. The exchange is not asked: without it every tool answers "try again".
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.keys.Ready(ctx); err != nil {
		httpx.Failed(r.Context(), fmt.Errorf("checking keys: %w", err))
		health(w, http.StatusServiceUnavailable, "keys failed")
		return
	}
	health(w, http.StatusOK, "ok")
}

func health(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}
