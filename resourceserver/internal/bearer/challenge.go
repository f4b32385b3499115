package bearer

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
)

// Refusal is an answer that replaces the protocol's: an HTTP status with a
// challenge and a sentence for people.
type Refusal struct {
	Status     int
	Code       oauth.Code    // "" when no credentials were sent (RFC 6750 §3.1)
	Sentence   string        // ASCII without quotes, backslash, comma and "scope=" (see header)
	Scopes     oauth.Scopes  // scope attribute of the challenge
	RetryAfter time.Duration // 503 and 429 only
}

func (g *Guard) unauthorized(code oauth.Code, sentence string) *Refusal {
	// MCP authorization, "Scope Selection": the scopes to ask for at first.
	return &Refusal{Status: http.StatusUnauthorized, Code: code, Sentence: sentence, Scopes: g.baseline}
}

func forbidden(sentence string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Sentence: sentence}
}

// InvalidToken says that the presented token has ended, as found out after the
// guard let it pass: by the exchange.
func InvalidToken() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: oauth.InvalidToken, Sentence: "This access was revoked or has ended. Connect again."}
}

// InsufficientScope names the MCP scopes that an operation needs.
func InsufficientScope(required oauth.Scopes) *Refusal {
	return &Refusal{
		Status: http.StatusForbidden, Code: oauth.InsufficientScope, Scopes: required,
		Sentence: "This needs more access than the app was given. Allow it to continue.",
	}
}

// Misconfigured is a fault of the deployment that no client can mend.
func Misconfigured() *Refusal {
	return &Refusal{Status: http.StatusInternalServerError, Code: oauth.ServerError, Sentence: "The server is not set up correctly. Tell whoever runs it."}
}

// Suspended says that the operator has cut the organisation off. It is no 401:
// signing in again does not help, and no client shall throw its tokens away.
func Suspended() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Code: oauth.AccessDenied, Sentence: "Access here is suspended. Ask your administrator. Nothing has been deleted."}
}

// Unsettled is doubt about what the organisation allows.
func Unsettled() *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Code: oauth.TemporarilyUnavailable, RetryAfter: retryAfter, Sentence: "The server cannot answer right now. Try again shortly."}
}

// header renders the challenge (RFC 6750 §3, RFC 9728 §5.1). Clients parse it
// with unanchored patterns and some split it at commas: one header, Bearer
// first, in this order (PROTOCOL 3.6 no. 15).
func (r *Refusal) header(metadataURL string) string {
	var p []string
	add := func(name, value string) {
		if value != "" {
			p = append(p, name+`="`+value+`"`)
		}
	}
	add("error", string(r.Code))
	add("scope", r.Scopes.String())
	add("resource_metadata", metadataURL)
	if r.Code != "" {
		add("error_description", r.Sentence)
	}
	return "Bearer " + strings.Join(p, ", ")
}

// refusalBody is for people who see the raw answer, and for logs of clients.
type refusalBody struct {
	Error       oauth.Code `json:"error,omitempty"`
	Description string     `json:"error_description"`
	Scope       string     `json:"scope,omitempty"`
}

// refuse writes a refusal. 401 and insufficient_scope carry the challenge; no
// answer of the guard may be stored by a cache.
func (g *Guard) refuse(w http.ResponseWriter, r *Refusal) {
	h := w.Header()
	if r.Status == http.StatusUnauthorized || r.Code == oauth.InsufficientScope {
		h.Set("WWW-Authenticate", r.header(g.metadataURL))
	}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(ratelimit.Seconds(r.RetryAfter), 10))
	}
	h.Del("Content-Length")
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.Status)
	body := refusalBody{Error: r.Code, Description: r.Sentence}
	if r.Code == oauth.InsufficientScope {
		body.Scope = r.Scopes.String()
	}
	_ = json.NewEncoder(w).Encode(body)
}
