package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

type keysCmd struct {
	Init   keysInitCmd   `cmd:"" help:"Make the key-encryption key, once. Without it no stored credential can be read: back it up."`
	List   keysListCmd   `cmd:"" help:"List signing keys: next ones, active ones, retired ones."`
	Rotate keysRotateCmd `cmd:"" help:"Publish the next signing keys; the servers activate them when everybody can know them."`

	AddKEK        keysAddKEKCmd     `cmd:"" name:"add-kek" help:"Add a key to a key-encryption key file; it unwraps and does not wrap yet."`
	PromoteKEK    keysPromoteKEKCmd `cmd:"" name:"promote-kek" help:"Let the newest key of a key-encryption key file wrap, when every server has the file."`
	Status        keysStatusCmd     `cmd:"" help:"Show data keys, what wraps them and how much is sealed under each."`
	RotateData    keysRotateDataCmd `cmd:"" name:"rotate-data" help:"Make new active data keys."`
	Rewrap        keysRewrapCmd     `cmd:"" help:"Move data keys to the current key-encryption key, and what is sealed to the active data keys, while servers run."`
	VerifyReceipt verifyReceiptCmd  `cmd:"" name:"verify-receipt" help:"Check the receipt of an erasure."`
}

type keysInitCmd struct {
	KEKFile string `name:"kek-file" env:"KEK_FILE" required:"" help:"File to make, mode 0600; it must not exist." placeholder:"FILE"`
	Keep    bool   `name:"keep" help:"Do nothing if the file exists, for jobs that run at every start."`
}

func (c *keysInitCmd) Run(e *env) error {
	if _, err := os.Stat(c.KEKFile); c.Keep && err == nil {
		return nil
	}
	kek, err := vault.CreateKEK(c.KEKFile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "made key-encryption key %s in %s; back it up\n", kek.ID(), c.KEKFile)
	return err
}

// ofTenants are the settings of commands about the keys of one tenant or all.
type ofTenants struct {
	config.Database
	Tenant string `name:"tenant" help:"Slug of the tenant; default: every tenant." placeholder:"SLUG"`
}

// each opens the database and calls f for each tenant asked for, by slug.
func (c *ofTenants) each(e *env, f func(db *postgres.DB, slug string, t tenant.ID) error) error {
	db, err := openDB(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	tenants, err := db.TenantIDs(e.ctx)
	if err != nil {
		return err
	}
	slugs := slices.Sorted(maps.Keys(tenants))
	if c.Tenant != "" {
		if _, ok := tenants[c.Tenant]; !ok {
			return fmt.Errorf("there is no tenant %q", c.Tenant)
		}
		slugs = []string{c.Tenant}
	}
	for _, slug := range slugs {
		if err := f(db, slug, tenants[slug]); err != nil {
			return fmt.Errorf("tenant %s: %w", slug, err)
		}
	}
	return nil
}

type keysListCmd struct {
	ofTenants
	JSON bool `name:"json" help:"One JSON array instead of a table."`
}

// keyInfo is a signing key in the list.
type keyInfo struct {
	Tenant    string         `json:"tenant"`
	KID       string         `json:"kid"`
	Purpose   keyset.Purpose `json:"purpose"`
	Alg       string         `json:"alg"`
	State     keyset.State   `json:"state"`
	Created   time.Time      `json:"created_at"`
	Activated time.Time      `json:"activated_at,omitzero"`
	Retired   time.Time      `json:"retired_at,omitzero"`
	// Seconds until a next key signs or a retired one is deleted, 0 when a server
	// does it at its next turn; absent for an active key.
	Remaining *int64 `json:"remaining_seconds,omitempty"`
}

func (c *keysListCmd) Run(e *env) error {
	keys := []keyInfo{}
	if err := c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		records, err := db.SigningKeys(e.ctx, t)
		for _, r := range records {
			k := keyInfo{
				Tenant: slug, KID: r.KID, Purpose: r.Purpose, Alg: r.Alg, State: r.State,
				Created: r.Created.UTC(), Activated: r.Activated.UTC(), Retired: r.Retired.UTC(),
			}
			if left, ok := keyset.DefaultTiming().Remaining(r); ok {
				seconds := int64(max(0, left) / time.Second)
				k.Remaining = &seconds
			}
			keys = append(keys, k)
		}
		return err
	}); err != nil {
		return err
	}
	if c.JSON {
		out := json.NewEncoder(e.out)
		out.SetIndent("", "  ")
		return out.Encode(keys)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tPURPOSE\tSTATE\tALG\tKID\tSINCE\tTHEN")
	for _, k := range keys {
		since, then := k.Activated, "signs"
		switch k.State {
		case keyset.Next:
			since, then = k.Created, "signs in "+left(k.Remaining)
		case keyset.Retired:
			since, then = k.Retired, "deleted in "+left(k.Remaining)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Tenant, k.Purpose, k.State, k.Alg, k.KID, since.Format(time.RFC3339), then)
	}
	return table.Flush()
}

func left(seconds *int64) string { return (time.Duration(*seconds) * time.Second).String() }

type keysRotateCmd struct {
	ofTenants
	config.KEK
	Purpose string `name:"purpose" enum:",access_token,grant" default:"" help:"access_token, or grant (codes and refresh tokens); default: both, except with --now."`
	Now     bool   `name:"now" help:"A key has leaked: delete every key of the purpose at once and sign with a new one. Needs --purpose and --yes."`
	Yes     bool   `name:"yes" help:"Do what --now says."`
}

// consequences of --now, to be read before --yes is given.
var consequences = map[keyset.Purpose]string{
	keyset.ForAccessTokens: "every access token issued until now stops working; clients refresh and go on",
	keyset.ForGrants:       "every authorization code and refresh token issued until now stops working; everybody has to sign in again",
}

func (c *keysRotateCmd) Run(e *env) error {
	purposes := keyset.Purposes()
	if c.Purpose != "" {
		purposes = []keyset.Purpose{keyset.Purpose(c.Purpose)}
	}
	switch {
	case c.Now && c.Purpose == "":
		return errors.New("--now needs --purpose: say which kind of key has leaked")
	case c.Now && !c.Yes:
		of := "tenant " + c.Tenant
		if c.Tenant == "" {
			of = "EVERY tenant"
		}
		return fmt.Errorf("--now deletes the %s keys of %s, and %s: add --yes if that is meant", c.Purpose, of, consequences[purposes[0]])
	}
	key, err := openKEK(e, c.KEK)
	if err != nil {
		return err
	}
	return c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		v, err := vault.New(vault.Config{KEK: key, Store: db})
		if err != nil {
			return err
		}
		o := &keyset.Operator{Store: db, Vault: v}
		for _, p := range purposes {
			if c.Now {
				err = c.replace(e, o, slug, t, p)
			} else {
				err = c.publish(e, o, slug, t, p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *keysRotateCmd) publish(e *env, o *keyset.Operator, slug string, t tenant.ID, p keyset.Purpose) error {
	kid, err := o.Publish(e.ctx, t, p)
	switch {
	case errors.Is(err, keyset.ErrNextExists), errors.Is(err, keyset.ErrNoKeys):
		_, err = fmt.Fprintf(e.out, "tenant %s, %s: %v\n", slug, p, err)
		return err
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(e.out, "tenant %s, %s: key %s is published and will sign in %v\n", slug, p, kid, keyset.DefaultTiming().Lead)
	return err
}

func (c *keysRotateCmd) replace(e *env, o *keyset.Operator, slug string, t tenant.ID, p keyset.Purpose) error {
	kid, deleted, err := o.Replace(e.ctx, t, p)
	if errors.Is(err, keyset.ErrNoKeys) {
		_, err = fmt.Fprintf(e.out, "tenant %s, %s: %v\n", slug, p, err)
		return err
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "tenant %s, %s: key %s signs now; deleted %s. Servers follow within %v: %s\n",
		slug, p, kid, strings.Join(deleted, ", "), keyset.DefaultTiming().Refresh, consequences[p])
	return err
}
