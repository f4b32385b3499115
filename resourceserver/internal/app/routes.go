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
	"latchkey/resourceserver/internal/metadata"
)

// routes is the route table: exact paths and nothing else. It is a map and no
// http.ServeMux, because that redirects unclean paths, and machine endpoints
// must not redirect (PROTOCOL 3.6 no. 17). A trailing slash is another resource
// identifier and answered 404 (no. 4).
func (s *server) routes(log *slog.Logger) http.Handler {
	main := s.endpoints[0]
	table := map[string]http.Handler{
		// Clients that know nothing better find the resource of everything.
		metadata.RootPath: main.guard.Host(main.metadata),
		download.Path:     main.guard.Host(s.downloads),
		"/livez":          http.HandlerFunc(livez),
		"/readyz":         http.HandlerFunc(s.readyz),
	}
	for _, e := range s.endpoints {
		table[metadata.Path(e.resource)] = e.guard.Host(e.metadata)
		table[e.path()] = e.guard.MCP(e.mcp)
	}
	nothing := main.guard.Host(notFound(main.resource))
	return httpx.Observe(log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := table[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		nothing.ServeHTTP(w, r)
	}))
}

func (m *mounted) path() string {
	if p := m.resource.Path(); p != "" {
		return p
	}
	return "/"
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
