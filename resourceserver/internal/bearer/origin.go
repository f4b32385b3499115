package bearer

import (
	"net"
	"net/http"
	"strings"

	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
)

// hosts are the Host values under which the server answers.
type hosts struct {
	own      string // host[:port], lower case, without the scheme's default port
	scheme   string
	loopback bool
}

func newHosts(r oauth.Resource, loopback bool) hosts {
	scheme, authority, _ := strings.Cut(r.Origin(), "://")
	h := hosts{scheme: scheme, loopback: loopback}
	h.own = h.normal(authority)
	return h
}

func (h hosts) normal(authority string) string {
	port := map[string]string{"https": ":443", "http": ":80"}[h.scheme]
	return strings.TrimSuffix(strings.ToLower(authority), port)
}

func (h hosts) admit(authority string) bool {
	return authority != "" && (h.normal(authority) == h.own || (h.loopback && isLoopback(authority)))
}

func isLoopback(authority string) bool {
	name, _, err := net.SplitHostPort(authority)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
	}
	return oauth.LoopbackHost(strings.ToLower(name))
}

// Owns reports whether a Host value is the resource's very own.
func (g *Guard) Owns(host string) bool { return host != "" && g.hosts.normal(host) == g.hosts.own }

// Admits reports whether the resource answers for a Host value.
func (g *Guard) Admits(host string) bool { return g.hosts.admit(host) }

// Host refuses requests for another host: a web page whose name was rebound to
// this address sends its own name (MCP Streamable HTTP, "Security Warning").
func (g *Guard) Host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.hosts.admit(r.Host) {
			g.refuse(w, forbidden("This server does not answer for this host name."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowOrigin reports whether a browser page of this origin may call. The Host
// was checked before, so a page of this very host and port is the server's own.
func (g *Guard) allowOrigin(origin string, r *http.Request) bool {
	return g.origins[origin] || (isLoopback(r.Host) && origin == "http://"+r.Host)
}

// Headers of CORS (PROTOCOL 3.5).
const (
	allowedHeaders = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, Last-Event-ID, DPoP"
	exposedHeaders = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, DPoP-Nonce, X-Request-Id, " + ratelimit.Headers
)

// cors checks the Origin (MCP Streamable HTTP: a present and invalid one MUST be
// answered 403), answers preflights before anything asks for a token, and
// reports whether the request goes on. Allow-Credentials is never sent: the
// token is the only credential.
func (g *Guard) cors(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	origins := r.Header.Values("Origin")
	if len(origins) > 0 {
		if len(origins) > 1 || !g.allowOrigin(origins[0], r) {
			g.refuse(w, forbidden("Pages of this origin may not use this server. The operator can allow it with ALLOWED_ORIGINS."))
			return false
		}
		if g.reports.Origin != nil && g.reports.Origin(origins[0]) {
			Report(r.Context(), "allowed_origins", g.tenant, "")
		}
		h.Set("Access-Control-Allow-Origin", origins[0])
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
	}
	if r.Method != http.MethodOptions {
		return true
	}
	h.Set("Allow", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", allowedHeaders)
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return false
}
