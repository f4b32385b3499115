package admin

import (
	"encoding/json"
	"net/http"
	"net/url"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
)

func (a *API) clientRoutes() []*Route {
	return []*Route{
		{Method: "GET", Path: "/tenants/{tenant}/clients", Scope: ClientsRead, query: paged("kind"), serve: a.listClients},
		{Method: "POST", Path: "/tenants/{tenant}/clients", Scope: ClientsWrite, serve: plain(a.createClient)},
		{Method: "GET", Path: "/tenants/{tenant}/clients/{client}", Scope: ClientsRead, serve: plain(func(c *call) error {
			found, err := a.Operator.Client(c.ctx(), c.tenant, c.r.PathValue("client"))
			return shown(c, found, err)
		})},
		{Method: "DELETE", Path: "/tenants/{tenant}/clients/{client}", Scope: ClientsWrite, serve: plain(func(c *call) error {
			return c.done(a.Operator.DeleteClient(c.ctx(), c.tenant, c.r.PathValue("client")))
		})},
	}
}

func (a *API) listClients(c *call) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return page(a, c, q, func(p operator.Page) ([]operator.Client, error) {
		return a.Operator.Clients(c.ctx(), c.tenant, client.Kind(q.Get("kind")), p)
	}, func(x operator.Client) string { return x.ID })
}

// clientBody is what an operator enters (RFC 7591 §2's names).
type clientBody struct {
	Name       string            `json:"client_name"`
	Redirects  []string          `json:"redirect_uris"`
	GrantTypes []oauth.GrantType `json:"grant_types"`
	AuthMethod oauth.AuthMethod  `json:"token_endpoint_auth_method"`
	JWKS       json.RawMessage   `json:"jwks"`
	JWKSURI    string            `json:"jwks_uri"`
	Scope      string            `json:"scope"`
}

// createdClient is the client with its secret, which is shown this once.
type createdClient struct {
	operator.Client
	Secret string `json:"client_secret,omitempty"`
}

func (a *API) createClient(c *call) error {
	var body clientBody
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.AuthMethod == "" {
		body.AuthMethod = oauth.AuthSecretBasic
	}
	made, value, err := a.Operator.CreateClient(c.ctx(), c.tenant, operator.NewClient{
		Name: body.Name, RedirectURIs: body.Redirects, GrantTypes: body.GrantTypes, AuthMethod: body.AuthMethod, JWKS: body.JWKS, JWKSURI: body.JWKSURI, Scope: body.Scope,
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", Base+"/tenants/"+c.slug+"/clients/"+url.PathEscape(made.ID))
	web.WriteJSON(c.w, http.StatusCreated, createdClient{*made, value.Reveal()})
	return nil
}
