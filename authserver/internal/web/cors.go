package web

import (
	"net/http"

	"latchkey/pkg/ratelimit"
)

// CORS opens a machine endpoint to browser clients of any origin: no
// credentials, preflight answered before anything else (RFC 9700 §2.6). It must
// never wrap the authorization endpoint or a page.
func CORS(methods string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, X-Request-Id, "+ratelimit.Headers)
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", methods+", OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, MCP-Protocol-Version")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
