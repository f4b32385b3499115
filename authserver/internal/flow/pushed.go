package flow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/vault"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

const (
	requestURIPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2
	// pushedLifetime bounds a pushed request (RFC 9126 §2.2: 5 to 600 s).
	pushedLifetime = 90 * time.Second
)

// Pushed is a pushed authorization request as stored: checked, without any
// credential of the client, sealed.
type Pushed struct {
	IDHash   [sha256.Size]byte
	ClientID string
	Request  []byte // sealed
	Lifetime time.Duration
}

// Authenticator authenticates clients.
type Authenticator interface {
	Authenticate(ctx context.Context, t *tenant.Tenant, c clientauth.Credentials) (*clientauth.Proof, error)
}

// Push serves POST /par (RFC 9126): the authorization request over the back
// channel, from a client that proves itself as at the token endpoint. It is
// checked now by the same rules as a request in a link, and what is kept is the
// result of the check, not the form.
func (h *Handler) Push(w http.ResponseWriter, r *http.Request) error {
	ctx, t := r.Context(), tenant.FromContext(r.Context())
	f, err := pushForm(w, r)
	if err != nil {
		return err
	}
	credentials, err := clientauth.Parse(r, f)
	if err != nil {
		return err
	}
	if f.Has("request_uri") { // RFC 9126 §2.1
		return oauth.NewError(oauth.InvalidRequest, "request_uri must not be pushed.")
	}
	proof, err := h.Auth.Authenticate(ctx, t, credentials)
	if err != nil {
		return err
	}
	c := proof.Client()
	redirectURI, ok := redirectOf(c, f["redirect_uri"])
	if !ok {
		return oauth.NewError(oauth.InvalidRequest, "redirect_uri is missing or not one that this client registered.")
	}
	a := &authorization{ClientID: c.ID, RedirectURI: redirectURI, State: f.Get("state"), Fingerprint: c.Fingerprint()}
	if len(a.State) > maxStateBytes {
		return oauth.NewError(oauth.InvalidRequest, "state is longer than 2048 bytes.")
	}
	if err := t.AdmitsClient(ctx, c.ID); err != nil {
		return err
	}
	if err := a.fill(ctx, c, t, f); err != nil {
		return err
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding pushed request: %w", err)
	}
	var id [sha256.Size]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	p := Pushed{IDHash: sha256.Sum256(id[:]), ClientID: c.ID, Lifetime: pushedLifetime}
	if p.Request, err = h.Vault.Seal(ctx, pushedBinding(t, p.IDHash), plain); err != nil {
		return oauth.Unavailable(fmt.Errorf("sealing pushed request: %w", err))
	}
	if err := h.Store.PushRequest(ctx, t.ID, p); err != nil {
		return oauth.Unavailable(err)
	}
	web.WriteJSON(w, http.StatusCreated, struct {
		RequestURI string `json:"request_uri"`
		ExpiresIn  int64  `json:"expires_in"` // seconds
	}{requestURIPrefix + base64.RawURLEncoding.EncodeToString(id[:]), int64(pushedLifetime / time.Second)})
	return nil
}

func pushForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, oauth.NewError(oauth.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, oauth.NewError(oauth.InvalidRequest, "The body is malformed.")
	}
	if name, found := text.BadParameter(r.PostForm); found {
		return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is no text (UTF-8 without NUL): "+name+".")
	}
	for _, names := range [][]string{singleValued, clientauth.Params, {"redirect_uri"}} {
		for _, name := range names {
			if len(r.PostForm[name]) > 1 {
				return nil, oauth.NewError(oauth.InvalidRequest, "A parameter is given more than once: "+name+".")
			}
		}
	}
	return r.PostForm, nil
}

func pushedBinding(t *tenant.Tenant, id [sha256.Size]byte) vault.Binding {
	return vault.Binding{Tenant: t.ID, Purpose: vault.AuthorizationRequest, Context: "pushed " + base64.RawURLEncoding.EncodeToString(id[:])}
}

// pushed takes a pushed request for this browser. Whatever else stands in the
// link is ignored: what was not pushed was not proven (RFC 9126 §4).
func (h *Handler) pushed(ctx context.Context, t *tenant.Tenant, q url.Values, requestURI string, browser [sha256.Size]byte, source string) (*authorization, *client.Client, error) {
	clientID := q["client_id"]
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(requestURI, requestURIPrefix))
	if err != nil || len(raw) != sha256.Size || len(clientID) != 1 || clientID[0] == "" {
		return nil, nil, badLink("The link that brought you here does not name one app and its request.", nil)
	}
	id := sha256.Sum256(raw)
	sealed, err := h.Store.TakeRequest(ctx, t.ID, id, clientID[0], browser)
	if errors.Is(err, ErrNoRequest) {
		return nil, nil, badLink("The link that brought you here was used already, or is older than 90 seconds.", err)
	}
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	plain, err := h.Vault.Open(ctx, pushedBinding(t, id), sealed)
	if err != nil {
		return nil, nil, oauth.Unavailable(fmt.Errorf("opening pushed request: %w", err))
	}
	var a authorization
	if err := json.Unmarshal(plain, &a); err != nil {
		return nil, nil, fmt.Errorf("decoding pushed request: %w", err)
	}
	if _, err := introduce(ctx, h.Clients, t, a.ClientID, source); err != nil {
		return nil, nil, err
	}
	c, err := h.same(ctx, t, &a)
	return &a, c, err
}
