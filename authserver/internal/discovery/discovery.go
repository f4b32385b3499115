package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Handler serves metadata and keys. Every field is required.
type Handler struct {
	Tenants func() *tenant.Directory
	Keys    func(ctx context.Context, t tenant.ID) (*keyset.Set, error)
}

const metadataAge = "public, max-age=3600"

// Metadata returns the document of a tenant.
func Metadata(t *tenant.Tenant) oauth.ServerMetadata {
	m := oauth.ServerMetadata{
		Issuer: t.Issuer.String(), AuthorizationEndpoint: t.Issuer.Endpoint("/authorize"), TokenEndpoint: t.Issuer.Endpoint("/token"),
		RegistrationEndpoint: t.Issuer.Endpoint("/register"), JWKSURI: t.Issuer.Endpoint("/jwks"),
		RevocationEndpoint: t.Issuer.Endpoint("/revoke"), IntrospectionEndpoint: t.Issuer.Endpoint("/introspect"),
		PushedAuthorizationEndpoint: t.Issuer.Endpoint("/par"),
		// What to ask for at first, not all there is (RFC 8414 §2 allows that): there
		// are clients that ask for all they see here. offline_access is listed because
		// clients that want refresh tokens look for it (PROTOCOL 3.4).
		ScopesSupported:        append(t.DefaultScopes.Slice(), scope.OfflineAccess),
		ResponseTypesSupported: []string{oauth.ResponseTypeCode}, ResponseModesSupported: []string{"query"},
		GrantTypesSupported: []string{string(oauth.GrantAuthorizationCode), string(oauth.GrantRefreshToken), string(oauth.GrantClientCredentials)},
		// Public clients are told of as well: some clients offer their metadata
		// document only then (PROTOCOL 3.6 no. 10).
		TokenEndpointAuthMethodsSupported: append([]string{string(oauth.AuthNone)}, confidential...),
		TokenEndpointAuthSigningAlgs:      algorithms(),
		RevocationAuthMethods:             append([]string{string(oauth.AuthNone)}, confidential...), RevocationAuthSigningAlgs: algorithms(),
		IntrospectionAuthMethods: confidential, IntrospectionAuthSigningAlgs: algorithms(),
		CodeChallengeMethodsSupported: []string{oauth.MethodS256},
		AuthorizationResponseIss:      true, // RFC 9207 §3
		ClientIDMetadataDocument:      t.Documents.Enabled(),
		// OpenID Connect Discovery §3 requires these in its document; this server
		// issues no ID tokens, and clients of MCP ask for none.
		SubjectTypesSupported: []string{"public"}, IDTokenSigningAlgValues: []string{"RS256"},
	}
	for _, r := range t.Resources {
		m.ProtectedResources = append(m.ProtectedResources, r.Canonical.String())
	}
	return m
}

var confidential = []string{string(oauth.AuthSecretBasic), string(oauth.AuthSecretPost), string(oauth.AuthPrivateKeyJWT)}

func algorithms() []string {
	var names []string
	for _, a := range clientauth.Algorithms {
		names = append(names, string(a))
	}
	return names
}

// Inserted serves the path-inserted forms (RFC 8414 §3.1): the path after the
// well-known name is the issuer's, which at a tenant's own host has none.
func (h *Handler) Inserted(name string) http.HandlerFunc {
	prefix := "/.well-known/" + name
	return func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, prefix)
		if !ok {
			http.NotFound(w, r)
			return
		}
		t, rest, ok := h.Tenants().Resolve(r.Host, path+"/")
		if !ok || rest != "/" || t.Issuer.Path() != path {
			notFound(w)
			return
		}
		h.document(w, r, t)
	}
}

// Appended serves the forms with the well-known name after the issuer's path, as
// OpenID has it and as some clients look for the other one; the router has found
// the tenant.
func (h *Handler) Appended(w http.ResponseWriter, r *http.Request) {
	h.document(w, r, tenant.FromContext(r.Context()))
}

func (h *Handler) document(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) {
	body, err := json.Marshal(Metadata(t))
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(body)
	write(w, r, body, `"`+hex.EncodeToString(sum[:8])+`"`, metadataAge)
}

// JWKS serves the tenant's public keys (RFC 7517 §5). How long they may be
// cached is the key set's to say: a copy has every key that signs as long as it
// lasts. While nobody here answers, a copy helps (RFC 5861 §4) for as long as
// the tokens live that were made before.
func (h *Handler) JWKS(w http.ResponseWriter, r *http.Request) error {
	t := tenant.FromContext(r.Context())
	set, err := h.Keys(r.Context(), t.ID)
	if err != nil {
		return oauth.Unavailable(fmt.Errorf("reading keys: %w", err))
	}
	body, etag := set.JWKS()
	write(w, r, body, etag, fmt.Sprintf("public, max-age=%d, stale-if-error=%d", int(set.MaxAge().Seconds()), int(t.Lifetimes.AccessToken.Seconds())))
	return nil
}

func write(w http.ResponseWriter, r *http.Request, body []byte, etag, cache string) {
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Del("Pragma")
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body)
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"error":"not_found","error_description":"There is no authorization server at this path."}` + "\n"))
}
