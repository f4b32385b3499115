package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

type clientsCmd struct {
	Create clientsCreateCmd `cmd:"" help:"Enter a client. Its secret is printed once and kept as a hash only."`
	List   clientsListCmd   `cmd:"" help:"List clients."`
	Show   clientsShowCmd   `cmd:"" help:"Show one."`
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
	JSON        bool     `name:"json" help:"JSON, as without it: there is no other form."`
}

func (c *clientsCreateCmd) Run(e *env) error {
	m := operator.NewClient{Name: c.Name, RedirectURIs: c.RedirectURI, AuthMethod: oauth.AuthMethod(c.AuthMethod), JWKSURI: c.JWKSURI, Scope: c.Scope}
	for _, g := range c.Grant {
		m.GrantTypes = append(m.GrantTypes, oauth.GrantType(g))
	}
	if c.JWKSFile != "" {
		var err error
		if m.JWKS, err = os.ReadFile(c.JWKSFile); err != nil {
			return fmt.Errorf("reading keys: %w", err)
		}
	}
	return c.operate(e, func(o *operator.Operator, t tenant.ID) error {
		made, secret, err := o.CreateClient(e.ctx, t, m)
		if err != nil {
			return err
		}
		return printJSON(e.out, struct {
			operator.Client
			Secret string `json:"client_secret,omitempty"`
		}{*made, secret.Reveal()})
	})
}

type clientsListCmd struct {
	ofOneTenant
	inJSON
	paging
	Kind string `name:"kind" default:"static" enum:"static,dynamic,document,all" help:"static (entered by you), dynamic (self-registered), document (known by its metadata document) or all."`
}

func (c *clientsListCmd) Run(e *env) error {
	kind := client.Kind(c.Kind)
	if kind == "all" {
		kind = ""
	}
	var found []operator.Client
	if err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		found, err = o.Clients(e.ctx, t, kind, c.page())
		return err
	}); err != nil {
		return err
	}
	if n := len(found); n > 0 {
		defer c.more(e, n, found[n-1].ID)
	}
	return c.answer(e, notNil(found), columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "CLIENT\tMETHOD\tCREATED\tLAST USED\tENDS\tNAME")
		for _, f := range found {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%q\n", f.ID, f.AuthMethod, day(f.Created, ""), day(f.Used, "never"), day(f.Expires, "never"), f.Name)
		}
	}))
}

func day(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.UTC().Format(time.DateOnly)
}

type clientsShowCmd struct {
	ofOneTenant
	inJSON
	ID string `arg:"" help:"Client id."`
}

func (c *clientsShowCmd) Run(e *env) error {
	var found *operator.Client
	err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		found, err = o.Client(e.ctx, t, c.ID)
		return err
	})
	if errors.Is(err, operator.ErrNotFound) {
		return fmt.Errorf("there is no client %s", c.ID)
	}
	if err != nil {
		return err
	}
	return c.answer(e, found, columns(func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "client\t%s\nkind\t%s\nname\t%q\nmethod\t%s\ngrant types\t%v\nredirect URIs\t%s\nscope\t%s\ncreated\t%s\nlast used\t%s\nends\t%s\n",
			found.ID, found.Kind, found.Name, found.AuthMethod, found.GrantTypes, strings.Join(found.Redirects, " "), found.Scope,
			day(found.Created, ""), day(found.Used, "never"), day(found.Expires, "never"))
	}))
}

type clientsDeleteCmd struct {
	ofOneTenant
	inJSON
	ID string `arg:"" help:"Client id."`
}

func (c *clientsDeleteCmd) Run(e *env) error {
	err := c.operate(e, func(o *operator.Operator, t tenant.ID) error { return o.DeleteClient(e.ctx, t, c.ID) })
	if errors.Is(err, operator.ErrNotFound) {
		return fmt.Errorf("there is no client %s", c.ID)
	}
	if err != nil {
		return err
	}
	return c.say(e, did{c.ID, "deleted"}, "deleted; its refresh tokens have ended, servers forget it within a minute")
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
