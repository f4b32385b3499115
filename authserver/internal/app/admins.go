package app

import (
	"errors"
	"fmt"
	"io"
	"os"

	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

type adminsCmd struct {
	Create adminsCreateCmd `cmd:"" help:"Enter an administrator of the admin API. A secret is printed once and kept as a hash only."`
	List   adminsListCmd   `cmd:"" help:"List administrators."`
	Delete adminsDeleteCmd `cmd:"" help:"Delete an administrator; its tokens end at once."`
}

// withDB opens the database for a command that belongs to no tenant.
func withDB(e *env, c config.Database, f func(db *postgres.DB) error) error {
	db, err := openDB(e, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

// administrator is one in words.
type administrator struct {
	ID      string           `json:"client_id"`
	Name    string           `json:"name"`
	Tenant  string           `json:"tenant,omitempty"` // slug; absent: the whole deployment
	Scope   string           `json:"scope"`
	Method  oauth.AuthMethod `json:"token_endpoint_auth_method"`
	Secret  string           `json:"client_secret,omitempty"` // when it is made
	Created string           `json:"created_at,omitempty"`
	Used    string           `json:"last_used_at,omitempty"`
}

type adminsCreateCmd struct {
	config.Database
	inJSON
	Name     string   `name:"name" required:"" help:"Name for operators."`
	Scope    []string `name:"scope" sep:"," required:"" help:"What it may do, e.g. tenants:read,audit:read; all: everything." placeholder:"SCOPE"`
	Tenant   string   `name:"tenant" help:"Slug of the one tenant that it reaches; default: the whole deployment." placeholder:"SLUG"`
	JWKSFile string   `name:"jwks-file" help:"Its public keys, for private_key_jwt; without, it gets a secret." placeholder:"FILE"`
}

func (c *adminsCreateCmd) Run(e *env) error {
	scopes := oauth.NewScopes(c.Scope...)
	if len(c.Scope) == 1 && c.Scope[0] == "all" {
		if scopes = admin.AllScopes(); c.Tenant != "" {
			scopes = admin.TenantScopes()
		}
	}
	var jwks []byte
	if c.JWKSFile != "" {
		var err error
		if jwks, err = os.ReadFile(c.JWKSFile); err != nil {
			return fmt.Errorf("reading keys: %w", err)
		}
	}
	out := administrator{Name: c.Name, Tenant: c.Tenant, Scope: scopes.String()}
	if err := withDB(e, c.Database, func(db *postgres.DB) error {
		var of tenant.ID
		if c.Tenant != "" {
			var err error
			if of, err = db.TenantID(e.ctx, c.Tenant); errors.Is(err, operator.ErrNotFound) {
				return fmt.Errorf("there is no tenant %q", c.Tenant)
			} else if err != nil {
				return err
			}
		}
		made, value, err := admin.NewAdministrator(c.Name, of, scopes, jwks)
		if err != nil {
			return err
		}
		out.ID, out.Method, out.Secret = made.ID, made.Method(), value.Reveal()
		return db.CreateAdministrator(e.ctx, made)
	}); err != nil {
		return err
	}
	return c.answer(e, out, columns(func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "client id\t%s\n", out.ID)
		if out.Secret != "" {
			_, _ = fmt.Fprintf(w, "client secret\t%s\n", out.Secret)
		}
		_, _ = fmt.Fprintf(w, "scope\t%s\n", out.Scope)
	}))
}

type adminsListCmd struct {
	config.Database
	inJSON
}

func (c *adminsListCmd) Run(e *env) error {
	list := []administrator{}
	if err := withDB(e, c.Database, func(db *postgres.DB) error {
		all, err := db.Administrators(e.ctx)
		if err != nil {
			return err
		}
		slugs, err := db.TenantIDs(e.ctx)
		if err != nil {
			return err
		}
		names := map[tenant.ID]string{}
		for slug, id := range slugs {
			names[id] = slug
		}
		for _, a := range all {
			one := administrator{ID: a.ID, Name: a.Name, Scope: a.Scopes.String(), Method: a.Method(), Created: day(a.Created, ""), Used: day(a.Used, "")}
			if !a.Everywhere {
				one.Tenant = names[a.Tenant]
			}
			list = append(list, one)
		}
		return nil
	}); err != nil {
		return err
	}
	return c.answer(e, list, columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "ADMINISTRATOR\tTENANT\tMETHOD\tCREATED\tLAST USED\tNAME\tSCOPE")
		for _, a := range list {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%q\t%s\n", a.ID, orDash(a.Tenant != "", a.Tenant), a.Method, a.Created, orDash(a.Used != "", a.Used), a.Name, a.Scope)
		}
	}))
}

type adminsDeleteCmd struct {
	config.Database
	inJSON
	ID string `arg:"" help:"Its client id."`
}

func (c *adminsDeleteCmd) Run(e *env) error {
	if err := withDB(e, c.Database, func(db *postgres.DB) error { return db.DeleteAdministrator(e.ctx, c.ID) }); err != nil {
		if errors.Is(err, admin.ErrNoAdministrator) {
			return fmt.Errorf("there is no administrator %s", c.ID)
		}
		return err
	}
	return c.say(e, did{c.ID, "deleted"}, "deleted; its tokens have ended")
}
