package operator

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// ClientStore is the database for clients, as ConnectionStore. A page's kind is
// one of client's, "" for all.
type ClientStore interface {
	OperatorClients(ctx context.Context, t tenant.ID, kind client.Kind, after string, limit int) ([]StoredClient, error)
	OperatorClient(ctx context.Context, t tenant.ID, id string) (*StoredClient, error)
	InsertClient(ctx context.Context, t tenant.ID, c *client.Client) error
	// DeleteClient deletes a registration or the copy of a document and ends the
	// client's grants. It returns client.ErrNotFound.
	DeleteClient(ctx context.Context, t tenant.ID, id string) error
}

// StoredClient is a registration, or the kept copy of a metadata document.
type StoredClient struct {
	client.Client
	Document []byte    // nil for a registration
	Fetched  time.Time // zero for a registration
}

// Client is an OAuth client of a tenant. Name and URI are its own words, and
// nobody has checked them.
type Client struct {
	ID         string            `json:"client_id"`
	Kind       client.Kind       `json:"kind"`
	Name       string            `json:"client_name"`
	URI        string            `json:"client_uri,omitempty"`
	Redirects  []string          `json:"redirect_uris"`
	GrantTypes []oauth.GrantType `json:"grant_types"`
	AuthMethod oauth.AuthMethod  `json:"token_endpoint_auth_method"`
	JWKSURI    string            `json:"jwks_uri,omitempty"`
	Scope      string            `json:"scope,omitempty"`
	Created    time.Time         `json:"created_at"` // of a document: when its text last changed
	Used       time.Time         `json:"last_used_at,omitzero"`
	Expires    time.Time         `json:"expires_at,omitzero"`
	Fetched    time.Time         `json:"fetched_at,omitzero"`
}

func (s *StoredClient) view() Client {
	c := Client{
		ID: s.ID, Kind: s.Kind, Name: s.Name, URI: s.ClientURI, Redirects: s.RedirectURIs, GrantTypes: s.GrantTypes, AuthMethod: s.AuthMethod,
		JWKSURI: s.JWKSURI, Scope: s.Scope, Created: s.CreatedAt.UTC(), Used: s.LastUsedAt.UTC(), Expires: s.ExpiresAt.UTC(), Fetched: s.Fetched.UTC(),
	}
	if s.Document != nil {
		var d struct {
			Name       string            `json:"client_name"`
			URI        string            `json:"client_uri"`
			Redirects  []string          `json:"redirect_uris"`
			GrantTypes []oauth.GrantType `json:"grant_types"`
			AuthMethod oauth.AuthMethod  `json:"token_endpoint_auth_method"`
			JWKSURI    string            `json:"jwks_uri"`
			Scope      string            `json:"scope"`
		}
		_ = json.Unmarshal(s.Document, &d) // it was read before it was kept
		c.Name, c.URI, c.Redirects, c.GrantTypes, c.AuthMethod, c.JWKSURI, c.Scope = d.Name, d.URI, d.Redirects, d.GrantTypes, d.AuthMethod, d.JWKSURI, d.Scope
	}
	if c.Redirects == nil {
		c.Redirects = []string{}
	}
	if c.GrantTypes == nil {
		c.GrantTypes = []oauth.GrantType{}
	}
	return c
}

// ClientKinds are those of stored clients.
func ClientKinds() []client.Kind {
	return []client.Kind{client.Static, client.Dynamic, client.Document}
}

// Clients returns a page of clients of a kind, "" for all, in the order of ids.
func (o *Operator) Clients(ctx context.Context, t tenant.ID, kind client.Kind, p Page) ([]Client, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if kind != "" && !slices.Contains(ClientKinds(), kind) {
		return nil, tenancy.Invalid("the kind of a client is one of %v", ClientKinds())
	}
	stored, err := o.Store.OperatorClients(ctx, t, kind, p.After, p.Limit)
	if err != nil {
		return nil, err
	}
	list := make([]Client, len(stored))
	for i := range stored {
		list[i] = stored[i].view()
	}
	return list, nil
}

// Client returns one client, or ErrNotFound.
func (o *Operator) Client(ctx context.Context, t tenant.ID, id string) (*Client, error) {
	stored, err := o.Store.OperatorClient(ctx, t, id)
	if err != nil {
		return nil, err
	}
	c := stored.view()
	return &c, nil
}

// NewClient is what an operator enters for a client.
type NewClient = registration.StaticMetadata

// CreateClient enters a client and returns its secret, if its method has one:
// only its hash is kept.
func (o *Operator) CreateClient(ctx context.Context, t tenant.ID, m NewClient) (*Client, secret.Text, error) {
	made, value, err := registration.NewStatic(m, append(slices.Clone(registration.DefaultCustomRedirects), o.CustomRedirects...), o.Now())
	if err != nil {
		return nil, value, tenancy.Invalid("%w", err)
	}
	if err := o.Store.InsertClient(ctx, t, made); err != nil {
		return nil, secret.Text{}, err
	}
	c := (&StoredClient{Client: *made}).view()
	return &c, value, nil
}

// DeleteClient deletes a client and ends its grants. Of a metadata document the
// kept copy goes: whether it may come back is the tenant's policy. Servers forget
// it within a minute. It returns ErrNotFound.
func (o *Operator) DeleteClient(ctx context.Context, t tenant.ID, id string) error {
	err := o.Store.DeleteClient(ctx, t, id)
	if errors.Is(err, client.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
