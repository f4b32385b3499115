package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"latchkey/pkg/httpx"
)

// check is one condition of readiness.
type check struct {
	name string
	run  func(ctx context.Context) error
}

const checkTimeout = 3 * time.Second

// livez answers while the process runs: a restart would help nothing else.
func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz runs every check; ?verbose lists them. It names which failed, never
// why: the reason goes to the log.
func readyz(checks []check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		body, status := "", http.StatusOK
		for _, c := range checks {
			state := "ok"
			if err := c.run(ctx); err != nil {
				httpx.Failed(r.Context(), fmt.Errorf("checking %s: %w", c.name, err))
				state, status = "failed", http.StatusServiceUnavailable
			}
			if r.URL.Query().Has("verbose") || state != "ok" {
				body += c.name + " " + state + "\n"
			}
		}
		if status == http.StatusOK {
			body += "ok\n"
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}
