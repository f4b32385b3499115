package app

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

const maxListed = 1000

type clientsCmd struct {
	Create clientsCreateCmd `cmd:"" help:"Enter a client. Its secret is printed once and kept as a hash only."`
	List   clientsListCmd   `cmd:"" help:"List clients."`
	Delete clientsDeleteCmd `cmd:"" help:"Delete a client and end its grants."`
}

// ofOneTenant are the settings of commands about the clients of one tenant.
type ofOneTenant struct {
	config.Database
	Tenant string `name:"tenant" default:"default" help:"Slug of the tenant." placeholder:"SLUG"`
}

// in opens the database and calls f for the tenant.
func (c *ofOneTenant) in(e *env, f func(db *postgres.DB, t tenant.ID) error) error {
	db, err := openDB(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	tenants, err := db.TenantIDs(e.ctx)
	if err != nil {
		return err
	}
	id, ok := tenants[c.Tenant]
	if !ok {
		return fmt.Errorf("there is no tenant %q", c.Tenant)
	}
	return f(db, id)
}

type clientsCreateCmd struct {
	ofOneTenant
	Name        string   `name:"name" required:"" help:"Name shown to people."`
	RedirectURI []string `name:"redirect-uri" sep:"none" help:"Redirect URI, for authorization_code; repeat for several." placeholder:"URI"`
	Grant       []string `name:"grant" required:"" help:"Grant types: authorization_code, refresh_token, client_credentials." placeholder:"TYPE"`
	AuthMethod  string   `name:"auth-method" default:"client_secret_basic" enum:"none,client_secret_basic,client_secret_post,private_key_jwt" help:"none, client_secret_basic, client_secret_post or private_key_jwt."`
	JWKSFile    string   `name:"jwks-file" help:"Public keys of the client, for private_key_jwt." placeholder:"FILE"`
	JWKSURI     string   `name:"jwks-uri" help:"Where the client publishes its keys, for private_key_jwt." placeholder:"URL"`
	Scope       string   `name:"scope" help:"Scopes the client may have, for client_credentials." placeholder:"SCOPES"`
}

func (c *clientsCreateCmd) Run(e *env) error {
	m := registration.StaticMetadata{Name: c.Name, RedirectURIs: c.RedirectURI, AuthMethod: oauth.AuthMethod(c.AuthMethod), JWKSURI: c.JWKSURI, Scope: c.Scope}
	for _, g := range c.Grant {
		m.GrantTypes = append(m.GrantTypes, oauth.GrantType(g))
	}
	if c.JWKSFile != "" {
		var err error
		if m.JWKS, err = os.ReadFile(c.JWKSFile); err != nil {
			return fmt.Errorf("reading keys: %w", err)
		}
	}
	made, secret, err := registration.NewStatic(m, registration.DefaultCustomRedirects, time.Now())
	if err != nil {
		return err
	}
	if err := c.in(e, func(db *postgres.DB, t tenant.ID) error { return db.InsertClient(e.ctx, t, made) }); err != nil {
		return err
	}
	out := json.NewEncoder(e.out)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		ClientID   string            `json:"client_id"`
		Secret     string            `json:"client_secret,omitempty"`
		AuthMethod oauth.AuthMethod  `json:"token_endpoint_auth_method"`
		GrantTypes []oauth.GrantType `json:"grant_types"`
		Redirects  []string          `json:"redirect_uris,omitempty"`
		Scope      string            `json:"scope,omitempty"`
	}{made.ID, secret.Reveal(), made.AuthMethod, made.GrantTypes, made.RedirectURIs, made.Scope})
}

type clientsListCmd struct {
	ofOneTenant
	Kind string `name:"kind" default:"static" enum:"static,dynamic" help:"static (entered by you) or dynamic (self-registered)."`
}

func (c *clientsListCmd) Run(e *env) error {
	var found []*client.Client
	if err := c.in(e, func(db *postgres.DB, t tenant.ID) (err error) {
		found, err = db.Clients(e.ctx, t, client.Kind(c.Kind), maxListed)
		return err
	}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CLIENT\tMETHOD\tCREATED\tLAST USED\tENDS\tNAME")
	for _, f := range found {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%q\n", f.ID, f.AuthMethod, day(f.CreatedAt, ""), day(f.LastUsedAt, "never"), day(f.ExpiresAt, "never"), f.Name)
	}
	return w.Flush()
}

func day(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.UTC().Format(time.DateOnly)
}

type clientsDeleteCmd struct {
	ofOneTenant
	ID string `arg:"" help:"Client id."`
}

func (c *clientsDeleteCmd) Run(e *env) error {
	err := c.in(e, func(db *postgres.DB, t tenant.ID) error { return db.DeleteClient(e.ctx, t, c.ID) })
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("there is no client %s", c.ID)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, "deleted; its refresh tokens have ended, servers forget it within a minute")
	return err
}

// openDB opens the database for a command: what follows is the operator's act.
func openDB(e *env, c config.Database) (*postgres.DB, error) {
	e.ctx = audit.WithRequest(e.ctx, audit.Request{ID: rand.Text()[:16], Actor: audit.Operator})
	url, err := c.RuntimeURL()
	if err != nil {
		return nil, err
	}
	return postgres.Open(e.ctx, postgres.Config{URL: url})
}
