package registration

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Manage serves GET, PUT and DELETE /register/{id} (RFC 7592 §2).
func (h *Handler) Manage(w http.ResponseWriter, r *http.Request) error {
	c, err := h.authorize(w, r)
	if err != nil {
		return err
	}
	t := tenant.FromContext(r.Context())
	switch r.Method {
	case http.MethodPut:
		return h.update(w, r, t, c)
	case http.MethodDelete:
		err := h.Store.DeleteClient(r.Context(), t.ID, c.ID)
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			return oauth.Unavailable(err)
		}
		h.Clients.forget(key{t.ID, c.ID})
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	web.WriteJSON(w, http.StatusOK, describe(t, c, secret.Text{}, presented(r)))
	return nil
}

func presented(r *http.Request) secret.Text {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > 128 {
		return secret.Text{}
	}
	return secret.NewText(token)
}

// authorize checks the registration access token. An unknown client and a wrong
// token are the same 401 (RFC 7592 §2.1).
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request) (*client.Client, error) {
	t := tenant.FromContext(r.Context())
	id, token := r.PathValue("id"), presented(r)
	refused := oauth.NewError(oauth.InvalidToken, "The registration access token is not valid for this client.")
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	if token.Empty() || isDocument(id) || !text.Valid(id) {
		return nil, refused
	}
	// Not from memory: a token that was taken away must not work on.
	c, err := h.Clients.registered(r.Context(), t, id)
	if errors.Is(err, client.ErrNotFound) {
		return nil, refused
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	if c.Kind != client.Dynamic || len(c.ManagementHash) == 0 || subtle.ConstantTimeCompare(client.HashSecret(token.Reveal()), c.ManagementHash) != 1 {
		return nil, refused
	}
	w.Header().Del("WWW-Authenticate")
	return c, nil
}

// replacement is the body of an update: the metadata, and the client's own
// values, which must be the current ones (RFC 7592 §2.2).
type replacement struct {
	metadata
	ClientID     string          `json:"client_id"`
	ClientSecret string          `json:"client_secret"`
	Forbidden1   json.RawMessage `json:"registration_access_token"`
	Forbidden2   json.RawMessage `json:"registration_client_uri"`
	Forbidden3   json.RawMessage `json:"client_secret_expires_at"`
	Forbidden4   json.RawMessage `json:"client_id_issued_at"`
}

func (h *Handler) update(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, old *client.Client) error {
	var m replacement
	if err := read(w, r, &m); err != nil {
		return err
	}
	switch {
	case m.ClientID != old.ID:
		return badMetadata("client_id must be the client's own.")
	case m.Forbidden1 != nil || m.Forbidden2 != nil || m.Forbidden3 != nil || m.Forbidden4 != nil:
		return badMetadata("registration_access_token, registration_client_uri, client_secret_expires_at and client_id_issued_at must not be sent.")
	case m.ClientSecret != "" && subtle.ConstantTimeCompare(client.HashSecret(m.ClientSecret), old.SecretHash) != 1:
		return badMetadata("client_secret cannot be chosen by the client.")
	}
	c := &client.Client{ID: old.ID, Kind: old.Kind, ManagementHash: old.ManagementHash, CreatedAt: old.CreatedAt, LastUsedAt: old.LastUsedAt, ExpiresAt: old.ExpiresAt}
	if err := m.fill(c, h.CustomRedirects); err != nil {
		return err
	}
	// Whoever approves a registration has read what it says. Its id alone is the
	// approval's, so it stays what was read, from the beginning where only approved
	// clients come in: between reading and approving it could become another
	// (decision 0018).
	if (t.Policy.Clients == tenant.ApprovedClient || t.Policy.Approval(old.ID) != nil) && c.Fingerprint() != old.Fingerprint() {
		return oauth.NewError(oauth.AccessDenied, "The organisation approves clients as they are. Register another one and ask its administrator to approve that.")
	}
	var newSecret secret.Text
	if c.AuthMethod == oauth.AuthSecretBasic || c.AuthMethod == oauth.AuthSecretPost {
		if c.SecretHash = old.SecretHash; c.SecretHash == nil { // it had none
			newSecret, c.SecretHash = client.NewSecret()
		}
	}
	err := h.Store.UpdateClient(r.Context(), t.ID, c)
	if errors.Is(err, client.ErrNotFound) {
		return oauth.NewError(oauth.InvalidToken, "The registration access token is not valid for this client.")
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	h.Clients.keep(key{t.ID, c.ID}, c, h.Now())
	web.WriteJSON(w, http.StatusOK, describe(t, c, newSecret, presented(r)))
	return nil
}
