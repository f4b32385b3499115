package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

type subjectsCmd struct {
	Export subjectsExportCmd `cmd:"" help:"Write what is stored of a person as JSON, e-mail addresses included, tokens and secrets not."`
	Erase  subjectsEraseCmd  `cmd:"" help:"Erase a person for good: withdraw the access at Google, destroy keys and rows, print a signed receipt."`
}

// sealed is what commands need that open or destroy sealed values.
type sealed struct {
	db      *postgres.DB
	vault   *vault.Vault
	tenants *tenancy.Follower
	keys    *keyset.Keyset
}

func openSealed(e *env, c config.KEK, o *tenancy.Operator, db *postgres.DB) (*sealed, error) {
	key, err := openKEK(e, c)
	if err != nil {
		return nil, err
	}
	s := &sealed{db: db}
	if s.vault, err = vault.New(vault.Config{KEK: key, Store: db}); err != nil {
		return nil, err
	}
	if s.tenants, err = tenancy.NewFollower(tenancy.Config{Source: db, Deployment: o.Deployment}); err != nil {
		return nil, err
	}
	if err := s.tenants.Reload(e.ctx); err != nil {
		return nil, err
	}
	s.keys, err = keyset.New(keyset.Config{Store: db, Vault: s.vault, Tenants: s.tenants.Directory})
	return s, err
}

func (s *sealed) shredder() *erasure.Shredder {
	return &erasure.Shredder{Store: s.db, Keys: s.keys.For, Tenants: s.tenants.Directory, Now: time.Now}
}

// ofSubject names a person of a tenant.
type ofSubject struct {
	ofTenancy
	config.KEK
	Tenant    string `name:"tenant" default:"default" help:"Slug of the tenant." placeholder:"SLUG"`
	Subject   string `name:"subject" xor:"who" required:"" help:"The person's id here: the sub of their access tokens." placeholder:"ID"`
	GoogleSub string `name:"google-sub" xor:"who" required:"" help:"The person's id at Google, the sub of its ID tokens. It is never an e-mail address." placeholder:"SUB"`
}

// find opens the database and calls f with the person.
func (c *ofSubject) find(e *env, f func(s *sealed, t tenant.ID, subject uuid.UUID) error) error {
	return c.operate(e, func(o *tenancy.Operator, db *postgres.DB) error {
		r, err := o.Find(e.ctx, c.Tenant)
		if err != nil {
			return err
		}
		var subject uuid.UUID
		if c.Subject != "" {
			if subject, err = uuid.Parse(c.Subject); err != nil {
				return errors.New("--subject is no id of a person")
			}
		} else if subject, err = db.SubjectOf(e.ctx, r.ID, c.GoogleSub); err != nil {
			return err
		}
		s, err := openSealed(e, c.KEK, o, db)
		if err != nil {
			return err
		}
		return f(s, r.ID, subject)
	})
}

type subjectsExportCmd struct{ ofSubject }

func (c *subjectsExportCmd) Run(e *env) error {
	return c.find(e, func(s *sealed, t tenant.ID, subject uuid.UUID) error {
		o := &operator.Operator{Store: s.db, Export: &erasure.Exporter{Store: s.db, Vault: s.vault, Now: time.Now}}
		doc, err := o.ExportSubject(e.ctx, t, subject)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%s\n", doc)
		return err
	})
}

type subjectsEraseCmd struct {
	ofSubject
	GoogleRevokeURL string `name:"google-revoke-url" env:"GOOGLE_REVOKE_URL" default:"https://oauth2.googleapis.com/revoke" help:"Google's revocation endpoint."`
	Confirm         string `name:"confirm" help:"The person's id here once more: this cannot be undone." placeholder:"ID"`
}

func (c *subjectsEraseCmd) Run(e *env) error {
	return c.find(e, func(s *sealed, t tenant.ID, subject uuid.UUID) error {
		if c.Confirm != subject.String() {
			return fmt.Errorf("this erases person %s of tenant %s, for good: confirm it with --confirm and that id", subject, c.Tenant)
		}
		upstream := google.New(google.Config{RevokeURL: c.GoogleRevokeURL}) // revoking needs the token alone
		log := newLog(config.Log{LogLevel: "warn", LogFormat: "text"}, e.errOut)
		eraser := &erasure.Eraser{
			Store: s.db, Shred: s.shredder(), Now: time.Now, Log: log,
			Revoker: &connection.Revoker{
				Queue: s.db, Vault: s.vault, Log: log,
				Google: func(context.Context, tenant.ID) (connection.Revokes, error) { return upstream, nil },
			},
		}
		out, done, err := (&operator.Operator{Erase: eraser}).EraseSubject(e.ctx, t, subject, c.Confirm)
		if err != nil {
			return err
		}
		switch {
		case c.JSON:
			return printJSON(e.out, out)
		case done.Receipt == "":
			_, err = fmt.Fprintf(e.out, "person %s is cut off and being erased; %d tokens are still to be withdrawn at Google. The servers go on, until %s at the latest. Then this command prints the receipt\n",
				subject, done.Waiting, done.Since.Add(connection.RevocationGivesUp).UTC().Format(time.RFC3339))
		default:
			_, err = fmt.Fprintf(e.out, "person %s is erased; at Google: %s; backups hold what they held until they end. The receipt, which authserver keys verify-receipt checks:\n%s\n",
				subject, done.Google, done.Receipt)
		}
		return err
	})
}
