package app

import (
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
	"latchkey/authserver/internal/operator"
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
	inJSON
}

func (c *keysInitCmd) Run(e *env) error {
	if _, err := os.Stat(c.KEKFile); c.Keep && err == nil {
		return nil
	}
	kek, err := vault.CreateKEK(c.KEKFile)
	if err != nil {
		return err
	}
	return c.say(e, did{kek.ID(), "made"}, "made key-encryption key %s in %s; back it up", kek.ID(), c.KEKFile)
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
	Tenant string `json:"tenant"`
	operator.Key
}

func (c *keysListCmd) Run(e *env) error {
	keys := []keyInfo{}
	if err := c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		of, err := (&operator.Operator{Keys: &keyset.Operator{Store: db}}).SigningKeys(e.ctx, t)
		for _, k := range of {
			keys = append(keys, keyInfo{slug, k})
		}
		return err
	}); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, keys)
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
	inJSON
	Now bool `name:"now" help:"A key has leaked: delete every key of the purpose at once and sign with a new one. Needs --purpose and --yes."`
	Yes bool `name:"yes" help:"Do what --now says."`
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
	if c.Purpose == "" {
		purposes = nil
	}
	all := []rotated{}
	err = c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		v, err := vault.New(vault.Config{KEK: key, Store: db})
		if err != nil {
			return err
		}
		done, err := (&operator.Operator{Keys: &keyset.Operator{Store: db, Vault: v}}).Rotate(e.ctx, t, c.Now, purposes...)
		for _, r := range done {
			all = append(all, rotated{slug, r})
			if !c.JSON {
				c.tell(e, slug, r)
			}
		}
		return err
	})
	if c.JSON {
		err = errors.Join(err, printJSON(e.out, all)) // what was done is told, whatever came after it
	}
	return err
}

// rotated is what was done for a tenant.
type rotated struct {
	Tenant string `json:"tenant"`
	operator.Rotation
}

func (c *keysRotateCmd) tell(e *env, slug string, r operator.Rotation) {
	switch {
	case r.KID == "":
		_, _ = fmt.Fprintf(e.out, "tenant %s, %s: %s\n", slug, r.Purpose, r.Note)
	case c.Now:
		_, _ = fmt.Fprintf(e.out, "tenant %s, %s: key %s signs now; deleted %s. Servers follow within %v: %s\n",
			slug, r.Purpose, r.KID, strings.Join(r.Deleted, ", "), keyset.DefaultTiming().Refresh, consequences[r.Purpose])
	default:
		_, _ = fmt.Fprintf(e.out, "tenant %s, %s: key %s is published and will sign in %v\n", slug, r.Purpose, r.KID, time.Duration(r.Signs)*time.Second)
	}
}
