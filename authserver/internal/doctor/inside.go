package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/vault"
	"latchkey/migrations"
	"latchkey/pkg/exchange"
)

// The steps from inside that others need.
const (
	stepSettings = "settings"
	stepDatabase = "database"
	stepSchema   = "schema"
	stepTenant   = "tenant"
	stepKEK      = "key-encryption key"
	stepSealed   = "what is sealed"
)

// Parts are what the server is made of, as the composition root makes them. A
// function is called once, by its step, and may fail.
type Parts struct {
	Settings func() error
	// Schema returns migrations.ErrPending for a schema that is behind.
	Schema func(ctx context.Context) error
	// Database connects as the server does: with its roles.
	Database func(ctx context.Context) error
	// Login is the login user of the database, and whether it passes row-level
	// security by.
	Login func(ctx context.Context) (user string, passes bool, err error)
	// Tenant finds the tenant as the server serves it, and says where it is.
	Tenant func(ctx context.Context) (string, error)
	KEK    func(ctx context.Context) error
	// Sealed opens what is sealed for the tenant, if there is anything yet.
	Sealed      func(ctx context.Context) (found bool, err error)
	SigningKeys func(ctx context.Context) ([]keyset.Record, error)
	ClientKeys  func() error // the resource server's public keys
	InternalURL func() string
	// Google is the tenant's client there, and whether it is in testing mode.
	Google   func(ctx context.Context) (client Google, testing bool, err error)
	Resource func() string // the tenant's MCP URL
}

// Google is an OAuth client at Google.
type Google interface {
	ProbePage(ctx context.Context) error
	ProbeSecret(ctx context.Context) error
	RedirectURL() string
	ID() string
}

// Inside looks at a server's settings and everything they name, then goes the
// way of a client.
func Inside(ctx context.Context, c Client, p Parts) *Report {
	r := &Report{}
	r.look(ctx, stepSettings, nil, func(context.Context) (string, error) {
		if err := p.Settings(); err != nil {
			return "", bad(err.Error(), "authserver config print shows every setting and where it comes from.")
		}
		return "complete", nil
	})
	r.look(ctx, stepSchema, []string{stepSettings}, func(ctx context.Context) (string, error) {
		switch err := p.Schema(ctx); {
		case errors.Is(err, migrations.ErrPending):
			return "", bad("the schema is behind this program", "Run: authserver migrate up")
		case err != nil:
			return "", bad(oneLine(err), "Correct DATABASE_URL, start the database, and let this machine reach it.")
		}
		return "current", nil
	})
	r.look(ctx, stepDatabase, []string{stepSchema}, func(ctx context.Context) (string, error) {
		if err := p.Database(ctx); err != nil {
			return "", bad(oneLine(err), "The user of DATABASE_URL must be a member of the roles latchkey_runtime and latchkey_jobs, which must be neither superusers nor pass row-level security by: "+
				"GRANT latchkey_runtime, latchkey_jobs TO the user; ALTER ROLE ... NOSUPERUSER NOBYPASSRLS.")
		}
		user, passes, err := p.Login(ctx)
		if err != nil {
			return "", err
		}
		if passes {
			return "", odd("the login user "+user+" passes row-level security by", "Where people sign in, let DATABASE_URL name a user of the servers' own: "+
				"CREATE ROLE ... LOGIN NOSUPERUSER NOBYPASSRLS; GRANT latchkey_runtime, latchkey_jobs TO it. DATABASE_MIGRATE_URL keeps the owner.")
		}
		return "it answers, and its roles are bound", nil
	})
	r.look(ctx, stepTenant, []string{stepDatabase}, func(ctx context.Context) (string, error) {
		found, err := p.Tenant(ctx)
		if err != nil {
			return "", bad(oneLine(err), "authserver tenants list shows what there is.")
		}
		return found, nil
	})
	r.look(ctx, stepKEK, []string{stepSettings}, func(ctx context.Context) (string, error) {
		if err := p.KEK(ctx); err != nil {
			return "", bad(oneLine(err), "Restore the file of KEK_FILE, or let this machine use the key of KEK_URI: see docs/keys.md.")
		}
		return "it opens", nil
	})
	r.look(ctx, stepSealed, []string{stepTenant, stepKEK}, func(ctx context.Context) (string, error) {
		found, err := p.Sealed(ctx)
		switch {
		case errors.Is(err, vault.ErrWrongKEK):
			return "", bad("the keys in the database are wrapped by another key-encryption key", "Set KEK_FILE or KEK_URI to the key with which this database was used; a changed one goes to FROM_KEK_FILE or FROM_KEK_URI until authserver keys rewrap has ended.")
		case err != nil:
			return "", bad(oneLine(err), "See docs/keys.md.")
		case !found:
			return "nothing yet: the server makes its keys when it starts", nil
		}
		return "it can be opened", nil
	})
	r.look(ctx, "signing keys", []string{stepTenant}, func(ctx context.Context) (string, error) {
		records, err := p.SigningKeys(ctx)
		if err != nil {
			return "", err
		}
		for _, purpose := range keyset.Purposes() {
			if len(records) > 0 && !slices.ContainsFunc(records, func(k keyset.Record) bool { return k.Purpose == purpose && k.State == keyset.Active }) {
				return "", bad(fmt.Sprintf("there is no active key of purpose %s", purpose), "Run: authserver keys rotate, with the servers running.")
			}
		}
		return fmt.Sprintf("%d", len(records)), nil
	})
	r.look(ctx, "keys of the resource server", []string{stepSettings}, func(context.Context) (string, error) {
		if err := p.ClientKeys(); err != nil {
			return "", bad(oneLine(err), "RS_JWKS_FILE is the file that resourceserver keys init wrote with --jwks-file.")
		}
		return "RS_JWKS_FILE is a key set", nil
	})
	r.look(ctx, "internal listener", []string{stepSettings}, func(ctx context.Context) (string, error) { return c.internal(ctx, p.InternalURL()) })
	r.google(ctx, p)
	mcpURL := ""
	if r.passed(stepTenant) {
		mcpURL = p.Resource()
	}
	r.outside(ctx, c, mcpURL, stepTenant)
	return r
}

// internal asks the internal listener for what it gives to nobody.
func (c Client) internal(ctx context.Context, base string) (string, error) {
	a, err := c.do(ctx, http.MethodPost, base+exchange.Path, "", "Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		if strings.Contains(err.Error(), "tls: ") { // mutual TLS: it hears resource servers only
			return base + " speaks TLS to resource servers only", nil
		}
		return "", odd("nothing answers at "+base+": "+oneLine(err), "If the authorization server runs, AS_INTERNAL_URL does not lead to its AS_INTERNAL_LISTEN from here. The resource server needs that way.")
	}
	if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized {
		return "", bad(fmt.Sprintf("%s answers a request without credentials with %d", base+exchange.Path, a.status), "AS_INTERNAL_URL must lead to AS_INTERNAL_LISTEN of the authorization server and to nothing else.")
	}
	return base + " answers, and refuses who shows no credentials", nil
}

// google asks Google about the OAuth client, without a person.
func (r *Report) google(ctx context.Context, p Parts) {
	const stepClient = "Google client"
	var g Google
	r.look(ctx, stepClient, []string{stepSealed}, func(ctx context.Context) (string, error) {
		var testing bool
		var err error
		if g, testing, err = p.Google(ctx); err != nil {
			return "", bad(oneLine(err), "authserver tenants google-client show tells which client a tenant uses; set gives it one.")
		}
		if testing {
			return "", odd(g.ID()+" is in testing mode", "Google ends every connection after seven days, for test users only: publish the consent screen in the Google Cloud console.")
		}
		return g.ID(), nil
	})
	r.look(ctx, "Google: redirect URI", []string{stepClient}, func(ctx context.Context) (string, error) {
		switch err := g.ProbePage(ctx); {
		case errors.Is(err, google.ErrRedirectURI):
			return "", bad("Google does not know the redirect URI "+g.RedirectURL(), "Enter it in the Google Cloud console under Credentials, at the OAuth client, to the letter. Google may take some minutes.")
		case errors.Is(err, google.ErrUnknownClient):
			return "", bad("Google does not know the client "+g.ID(), "Correct GOOGLE_CLIENT_ID, or the tenant's client: it ends in .apps.googleusercontent.com.")
		case errors.Is(err, google.ErrPage):
			return "", odd(oneLine(err), "Open the sign-in in a browser and read what Google says.")
		case err != nil:
			return "", bad("Google's sign-in page cannot be reached: "+oneLine(err), "Let this machine reach accounts.google.com (HTTPS_PROXY is used).")
		}
		return g.RedirectURL() + " is registered", nil
	})
	r.look(ctx, "Google: client secret", []string{stepClient}, func(ctx context.Context) (string, error) {
		switch err := g.ProbeSecret(ctx); {
		case google.ClassOf(err) == google.Configuration && err != nil:
			return "", bad("Google refuses the client: "+oneLine(err), "Enter the secret that the Google Cloud console shows for this very client id: GOOGLE_CLIENT_SECRET, or authserver tenants google-client set.")
		case err != nil:
			return "", bad("Google's token endpoint cannot be reached: "+oneLine(err), "Let this machine reach oauth2.googleapis.com (HTTPS_PROXY is used).")
		}
		return "Google takes it. Which APIs are enabled cannot be told without a person", nil
	})
}
