package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Lifetime bounds a trip to Google (MCP security best practices: about ten
// minutes).
const Lifetime = 10 * time.Minute

const (
	flowCookie    = "latchkey-flow-"
	maxQueryBytes = 16 << 10
	secretSize    = 32
)

// ErrNoFlow is what Store.ConsumeFlow returns when no unused, unexpired flow has
// that state and that browser.
var ErrNoFlow = errors.New("no such flow")

// Flow is a person on the way to Google, as stored.
type Flow struct {
	StateHash   [sha256.Size]byte
	BrowserHash [sha256.Size]byte
	Request     []byte // sealed: it may hold an e-mail address (login_hint)
	Lifetime    time.Duration
}

// Store is what a trip needs of the database.
type Store interface {
	BeginFlow(ctx context.Context, t tenant.ID, f Flow) error
	// ConsumeFlow marks the flow used and returns its request. One conditional
	// statement: of concurrent calls one wins, the others get ErrNoFlow.
	ConsumeFlow(ctx context.Context, t tenant.ID, state, browser [sha256.Size]byte) ([]byte, error)
}

// Sealer seals for a binding and opens for the same one only.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Google is the upstream.
type Google interface {
	ID() string
	AuthURL(google.AuthRequest) string
	Answers(iss []string) bool
	Exchange(ctx context.Context, code, verifier string) (*google.Tokens, error)
	Verify(ctx context.Context, idToken secret.Text, nonce string) (*google.Identity, error)
}

// Kind says who began a trip and goes on after it.
type Kind string

// Trip is one way of a person to Google.
type Trip struct {
	Kind    Kind
	Request any // of the kind's owner, as JSON: comes back with the outcome

	Scopes        oauth.Scopes // Google scopes beyond those of the sign-in
	LoginHint     string
	Offline       bool // a refresh token is wanted
	ForceConsent  bool // Google must ask again
	SelectAccount bool // the person chooses the account again
}

// Continuation takes the outcome of a trip of its kind.
type Continuation func(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *Outcome) error

// Handler sends people to Google and serves the way back. Every field is
// required; Kinds may be filled until the first request is served.
type Handler struct {
	Store   Store
	Vault   Sealer
	Google  func(ctx context.Context, t tenant.ID) (Google, error) // the tenant's OAuth client; an error is doubt
	Tenants func() *tenant.Directory
	Kinds   map[Kind]Continuation
}

// stored is what a flow row remembers.
type stored struct {
	Kind    Kind            `json:"kind"`
	Request json.RawMessage `json:"request"`
}

// Begin begins a trip: the browser gets a secret, the database its hash, and
// Google a state. Only now is there anything to find (PROTOCOL AS-A15, A16).
func (h *Handler) Begin(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, trip Trip) error {
	if h.Kinds[trip.Kind] == nil {
		return fmt.Errorf("no way back for a trip of kind %q", trip.Kind)
	}
	upstream, err := h.upstream(r.Context(), t)
	if err != nil {
		return err
	}
	tenantID := t.ID.UUID()
	state := make([]byte, len(tenantID)+secretSize)
	copy(state, tenantID[:])
	_, _ = rand.Read(state[len(tenantID):]) // never fails (crypto/rand)
	browser := secret.Random()
	f := Flow{StateHash: sha256.Sum256(state), BrowserHash: sha256.Sum256([]byte(browser)), Lifetime: Lifetime}
	request, err := json.Marshal(trip.Request)
	if err != nil {
		return fmt.Errorf("encoding flow: %w", err)
	}
	plain, err := json.Marshal(stored{Kind: trip.Kind, Request: request})
	if err != nil {
		return fmt.Errorf("encoding flow: %w", err)
	}
	if f.Request, err = h.Vault.Seal(r.Context(), binding(t, f.StateHash), plain); err != nil {
		return oauth.Unavailable(fmt.Errorf("sealing flow: %w", err))
	}
	if err := h.Store.BeginFlow(r.Context(), t.ID, f); err != nil {
		return oauth.Unavailable(fmt.Errorf("storing flow: %w", err))
	}
	web.SetCookie(w, t.Issuer, cookieOf(f.StateHash), browser, Lifetime)
	w.Header().Set("Location", upstream.AuthURL(google.AuthRequest{
		State: base64.RawURLEncoding.EncodeToString(state), Nonce: derive(browser, "nonce"), Verifier: derive(browser, "pkce"),
		Scopes: trip.Scopes, LoginHint: trip.LoginHint,
		Offline: trip.Offline, ForceConsent: trip.ForceConsent, SelectAccount: trip.SelectAccount,
	}))
	w.WriteHeader(http.StatusSeeOther) // RFC 9700 §4.12: not 307, the form must not travel on
	return nil
}

func (h *Handler) upstream(ctx context.Context, t *tenant.Tenant) (Google, error) {
	upstream, err := h.Google(ctx, t.ID)
	if err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("finding the tenant's google client: %w", err))
	}
	return upstream, nil
}

func binding(t *tenant.Tenant, stateHash [sha256.Size]byte) vault.Binding {
	return vault.Binding{Tenant: t.ID, Purpose: vault.AuthorizationRequest, Context: base64.RawURLEncoding.EncodeToString(stateHash[:])}
}

func cookieOf(stateHash [sha256.Size]byte) string {
	return flowCookie + base64.RawURLEncoding.EncodeToString(stateHash[:6])
}

// derive makes nonce and PKCE verifier from the browser's secret, so that the
// database never holds them. 43 base64url characters, a valid verifier
// (RFC 7636 §4.1).
func derive(browser, label string) string {
	mac := hmac.New(sha256.New, []byte(browser))
	mac.Write([]byte("latchkey google " + label))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// parseState splits a state into tenant and hash. The tenant in it is only a
// pointer: the row is found by the hash of the whole.
func parseState(s string) (tenant.ID, [sha256.Size]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != 16+secretSize || len(s) != base64.RawURLEncoding.EncodedLen(16+secretSize) { // no line breaks, which the decoder skips
		return tenant.ID{}, [sha256.Size]byte{}, false
	}
	return tenant.FromUUID(uuid.UUID(raw[:16])), sha256.Sum256(raw), true
}
