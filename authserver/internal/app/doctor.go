package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/doctor"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
	"latchkey/authserver/internal/vault"
	"latchkey/migrations"
)

type doctorCmd struct {
	config.Serve
	MCPURL string `arg:"" optional:"" name:"mcp-url" help:"Look from outside only, as an MCP client that is given this URL. Without it: at these settings and everything they name, then from outside." placeholder:"URL"`
	Tenant string `name:"tenant" default:"default" help:"Slug of the tenant to look at." placeholder:"SLUG"`
	CAFile string `name:"ca-file" help:"Certificate authorities to believe beside the system's (PEM)." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"JSON instead of text."`
}

var errDoctor = errors.New("something needs attention: see above")

func (c *doctorCmd) Run(e *env) error {
	var client doctor.Client
	if c.CAFile != "" {
		b, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
		if client.Roots, err = x509.SystemCertPool(); err != nil {
			client.Roots = x509.NewCertPool()
		}
		if !client.Roots.AppendCertsFromPEM(b) {
			return fmt.Errorf("--ca-file %s holds no certificate", c.CAFile)
		}
	}
	var report *doctor.Report
	if c.MCPURL != "" {
		report = doctor.Outside(e.ctx, client, c.MCPURL)
	} else {
		p := patient{given: c.Serve, slug: c.Tenant}
		report = doctor.Inside(e.ctx, client, p.parts())
		p.close()
	}
	if c.JSON {
		if err := printJSON(e.out, report.Steps); err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(e.out, report.Text()); err != nil {
		return err
	}
	if report.Failed() {
		return errDoctor
	}
	return nil
}

// patient is a server that is looked at. Each part is made when its step comes;
// steps that need another's part run after it.
type patient struct {
	given    config.Serve
	slug     string
	settings *config.Server
	db       *postgres.DB
	vault    *vault.Vault
	key      *vault.KEK
	tenants  *tenancy.Follower
	tenant   *tenant.Tenant
}

func (p *patient) close() {
	if p.db != nil {
		p.db.Close()
	}
}

func (p *patient) parts() doctor.Parts {
	return doctor.Parts{
		Settings: func() (err error) {
			p.settings, err = p.given.Check()
			return err
		},
		Schema: func(ctx context.Context) error { return migrations.Check(ctx, p.settings.DatabaseURL.Reveal()) },
		Database: func(ctx context.Context) (err error) {
			if p.db, err = postgres.Open(ctx, postgres.Config{URL: p.settings.DatabaseURL}); err != nil {
				return err
			}
			return p.db.Check(ctx)
		},
		Login:  func(ctx context.Context) (string, bool, error) { return p.db.Login(ctx) },
		Tenant: p.find,
		KEK: func(ctx context.Context) (err error) {
			p.key, err = kek.OpenBoth(ctx, p.settings.KEK, p.settings.FromKEK)
			return err
		},
		Sealed: p.open,
		SigningKeys: func(ctx context.Context) ([]keyset.Record, error) {
			return p.db.SigningKeys(ctx, p.tenant.ID)
		},
		ClientKeys: func() error {
			_, err := exchange.LoadClients(p.settings.RSClientID, p.settings.RSJWKSFile, p.settings.InternalURL, p.settings.Issuer)
			return err
		},
		InternalURL: func() string { return p.settings.InternalURL },
		Google:      p.google,
		Resource:    func() string { return p.tenant.Resources[0].Canonical.String() },
	}
}

// find reads the tenants as the server does.
func (p *patient) find(ctx context.Context) (found string, err error) {
	if p.tenants, err = tenancy.NewFollower(tenancy.Config{Source: p.db, Deployment: deployment(p.settings)}); err != nil {
		return "", err
	}
	if err := p.tenants.Reload(ctx); err != nil {
		return "", err
	}
	for _, t := range p.tenants.Directory().All() {
		if t.Slug == p.slug {
			p.tenant = t
			return t.Issuer.String() + ", " + t.Resources[0].Canonical.String(), suspended(t)
		}
	}
	return "", fmt.Errorf("the servers serve no tenant %q: look at authserver tenants show %s", p.slug, p.slug)
}

func suspended(t *tenant.Tenant) error {
	if t.Status == tenant.Suspended {
		return fmt.Errorf("tenant %s is suspended: authserver tenants resume %s", t.Slug, t.Slug)
	}
	return nil
}

// open opens the tenant's signing keys, if there are any; it makes none.
func (p *patient) open(ctx context.Context) (found bool, err error) {
	if p.vault, err = vault.New(vault.Config{KEK: p.key, Store: p.db}); err != nil {
		return false, err
	}
	records, err := p.db.SigningKeys(ctx, p.tenant.ID)
	if err != nil || len(records) == 0 {
		return false, err
	}
	keys, err := keyset.New(keyset.Config{Store: p.db, Vault: p.vault, Tenants: p.tenants.Directory})
	if err != nil {
		return false, err
	}
	_, err = keys.For(ctx, p.tenant.ID)
	return true, err
}

func (p *patient) google(ctx context.Context) (doctor.Google, bool, error) {
	g := p.settings.Google
	clients := upstream.New(upstream.Config{Store: p.db, Vault: p.vault, Tenants: p.tenants.Directory, CallbackPath: callbackPath, Google: google.Config{
		ClientID: g.ClientID, ClientSecret: g.ClientSecret, Issuer: g.Issuer, AuthURL: g.AuthURL, TokenURL: g.TokenURL, JWKSURL: g.JWKSURL, RevokeURL: g.RevokeURL,
	}})
	client, err := clients.For(ctx, p.tenant.ID)
	return client, p.tenant.Upstream.Testing, err
}
