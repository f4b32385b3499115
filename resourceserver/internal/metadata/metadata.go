package metadata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// RootPath is where clients look when nothing better is known; it serves the
// document only because the host has one resource (RFC 9728 §3.1).
const RootPath = "/.well-known/oauth-protected-resource"

// maxAge is short: the document changes with a deployment.
const maxAge = "public, max-age=300"

// Config describes the resource. Resource and Issuer are needed.
type Config struct {
	Resource oauth.Resource
	Issuer   oauth.IssuerURL
	Baseline oauth.Scopes // scopes to ask for at first
	Name     string       // for people
}

// Handler serves the document.
type Handler struct {
	body []byte
	etag string
}

// New makes the document.
func New(c Config) (*Handler, error) {
	if c.Resource.IsZero() || c.Issuer.IsZero() {
		return nil, errors.New("resource metadata needs a resource and an issuer")
	}
	body, err := json.Marshal(oauth.ResourceMetadata{
		Resource: c.Resource.String(), AuthorizationServers: []string{c.Issuer.String()},
		ScopesSupported:        c.Baseline.Minus(oauth.NewScopes(scope.OfflineAccess)).Slice(),
		BearerMethodsSupported: []string{"header"}, ResourceName: c.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding resource metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return &Handler{body: body, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}, nil
}

// Path returns the path-inserted location, the authoritative one.
func Path(r oauth.Resource) string { return strings.TrimPrefix(r.MetadataURL(), r.Origin()) }

// ServeHTTP answers GET and HEAD, and preflights of any origin: metadata GETs of
// browser clients carry MCP-Protocol-Version.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, MCP-Protocol-Version")
		header.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", maxAge)
		header.Set("ETag", h.etag)
		header.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.body))
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		header.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = w.Write([]byte(`{"error_description":"This document is read with GET."}` + "\n"))
	}
}
