package registration

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const maxBody = 64 << 10

// Handler serves dynamic registration and its management. Every field is
// required.
type Handler struct {
	Clients         *Clients
	Store           ClientStore
	CustomRedirects []string // exact private-use URIs that may be registered
	Now             func() time.Time
}

// ClientStore changes registered clients.
type ClientStore interface {
	InsertClient(ctx context.Context, t tenant.ID, c *client.Client) error
	// UpdateClient and DeleteClient return client.ErrNotFound when there is none.
	// Deleting ends the client's grants.
	UpdateClient(ctx context.Context, t tenant.ID, c *client.Client) error
	DeleteClient(ctx context.Context, t tenant.ID, id string) error
}

// response is RFC 7591 §3.2.1 and RFC 7592 §3: what was really registered. No
// null, no empty member: real clients fail on both (PROTOCOL 3.6 no. 12).
type response struct {
	ClientID        string            `json:"client_id"`
	Secret          string            `json:"client_secret,omitempty"`
	SecretExpiresAt *int64            `json:"client_secret_expires_at,omitempty"` // seconds, 0 = never; only with a secret
	IssuedAt        int64             `json:"client_id_issued_at"`
	ManagementToken string            `json:"registration_access_token,omitempty"`
	ManagementURI   string            `json:"registration_client_uri"`
	RedirectURIs    []string          `json:"redirect_uris"`
	AuthMethod      oauth.AuthMethod  `json:"token_endpoint_auth_method"`
	GrantTypes      []oauth.GrantType `json:"grant_types"`
	ResponseTypes   []string          `json:"response_types"`
	ApplicationType string            `json:"application_type"`
	ClientName      string            `json:"client_name,omitempty"`
	ClientURI       string            `json:"client_uri,omitempty"`
	Scope           string            `json:"scope,omitempty"`
	JWKS            json.RawMessage   `json:"jwks,omitempty"`
	JWKSURI         string            `json:"jwks_uri,omitempty"`
}

func describe(t *tenant.Tenant, c *client.Client, newSecret, management secret.Text) response {
	r := response{
		ClientID: c.ID, IssuedAt: c.CreatedAt.Unix(), RedirectURIs: c.RedirectURIs, AuthMethod: c.AuthMethod, GrantTypes: c.GrantTypes,
		ManagementToken: management.Reveal(), ManagementURI: t.Issuer.Endpoint("/register/" + c.ID),
		ResponseTypes: []string{oauth.ResponseTypeCode}, ApplicationType: string(c.ApplicationType), ClientName: c.Name, ClientURI: c.ClientURI, Scope: c.Scope,
		JWKS: c.JWKS, JWKSURI: c.JWKSURI,
	}
	if !newSecret.Empty() {
		r.Secret, r.SecretExpiresAt = newSecret.Reveal(), new(int64)
	}
	return r
}

// Register serves POST /register (RFC 7591 §3). The registration ends when it
// is not used in time (tenant.Lifetimes.ClientUnused); there is no limit to
// their number, which would only lock honest clients out.
func (h *Handler) Register(w http.ResponseWriter, r *http.Request) error {
	t := tenant.FromContext(r.Context())
	var m metadata
	if err := read(w, r, &m); err != nil {
		return err
	}
	now := h.Now().UTC().Truncate(time.Second)
	c := &client.Client{ID: client.NewID(), Kind: client.Dynamic, CreatedAt: now, ExpiresAt: now.Add(t.Lifetimes.ClientUnused)}
	if err := m.fill(c, h.CustomRedirects); err != nil {
		return err
	}
	var newSecret, management secret.Text
	if c.AuthMethod == oauth.AuthSecretBasic || c.AuthMethod == oauth.AuthSecretPost {
		newSecret, c.SecretHash = client.NewSecret()
	}
	management, c.ManagementHash = client.NewManagementToken()
	if err := h.Store.InsertClient(r.Context(), t.ID, c); err != nil {
		return oauth.Unavailable(err)
	}
	h.Clients.keep(key{t.ID, c.ID}, c, time.Time{})
	web.WriteJSON(w, http.StatusCreated, describe(t, c, newSecret, management))
	return nil
}

// read reads a JSON object of client metadata.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return badMetadata("The body must be application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &oauth.Error{Code: oauth.InvalidClientMetadata, Status: http.StatusRequestEntityTooLarge, Description: "The body is larger than 64 KiB.", Cause: err}
		}
		return badMetadata("The body could not be read.")
	}
	if err := decode(body, into); err != nil {
		return badMetadata("%s", err)
	}
	return nil
}
