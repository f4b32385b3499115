package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/progress"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// settle is how long a data key must have been retired before it may be
// deleted: every server has read its keys again by then, and what it was about
// to store is stored.
const settle = vault.TTL + 5*time.Minute

func openKEK(e *env, c config.KEK) (*vault.KEK, error) {
	current, from, err := c.Sources()
	if err != nil {
		return nil, err
	}
	return kek.OpenBoth(e.ctx, current, from)
}

// ofKEKFile is the setting of commands that change a key-encryption key file.
type ofKEKFile struct {
	inJSON
	KEKFile string `name:"kek-file" env:"KEK_FILE" required:"" help:"The key-encryption key file." placeholder:"FILE"`
}

// changedKEK is what became of a key-encryption key file.
type changedKEK struct {
	ID   string `json:"id"`
	Did  string `json:"did"`
	Kept string `json:"file_before"`
}

type keysAddKEKCmd struct{ ofKEKFile }

func (c *keysAddKEKCmd) Run(e *env) error {
	id, kept, err := vault.AddKEK(c.KEKFile)
	if err != nil {
		return err
	}
	return c.say(e, changedKEK{id, "added", kept}, "added key-encryption key %s to %s; it wraps nothing yet. The file as it was is %s.\nNow: back the file up, give it to every server and restart them; then authserver keys promote-kek", id, c.KEKFile, kept)
}

type keysPromoteKEKCmd struct{ ofKEKFile }

func (c *keysPromoteKEKCmd) Run(e *env) error {
	id, kept, err := vault.PromoteKEK(c.KEKFile)
	if err != nil {
		return err
	}
	return c.say(e, changedKEK{id, "promoted", kept}, "key-encryption key %s of %s wraps from now on. The file as it was is %s.\nNow: back the file up, give it to every server and restart them; then authserver keys rewrap", id, c.KEKFile, kept)
}

type keysStatusCmd struct {
	ofTenants
	JSON bool `name:"json" help:"One JSON array instead of a table."`
}

// dataKeyInfo is a data key in the list.
type dataKeyInfo struct {
	Tenant  string           `json:"tenant"`
	ID      uuid.UUID        `json:"data_key"`
	State   string           `json:"state"`
	KEK     string           `json:"kek"`
	Created time.Time        `json:"created_at"`
	Retired time.Time        `json:"retired_at,omitzero"`
	Values  map[string]int64 `json:"values"`     // by kind
	Old     int64            `json:"old_format"` // of them
}

func (c *keysStatusCmd) Run(e *env) error {
	keys := []dataKeyInfo{}
	if err := c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		of, err := dataKeys(e, db, slug, t)
		keys = append(keys, of...)
		return err
	}); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, keys)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tDATA KEY\tSTATE\tSINCE\tWRAPPED BY\tVALUES\tOLD FORMAT")
	for _, k := range keys {
		var values int64
		for _, n := range k.Values {
			values += n
		}
		since := k.Created
		if !k.Retired.IsZero() {
			since = k.Retired
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", k.Tenant, k.ID, k.State, since.Format(time.RFC3339), k.KEK, values, k.Old)
	}
	return table.Flush()
}

// dataKeys lists a tenant's data keys with what is sealed under each. Values
// under no key that is there, which open for nobody, stand under one that is
// "missing".
func dataKeys(e *env, db *postgres.DB, slug string, t tenant.ID) ([]dataKeyInfo, error) {
	states, err := db.DataKeyStates(e.ctx, t)
	if err != nil {
		return nil, err
	}
	counts, err := db.CountValues(e.ctx, t)
	if err != nil {
		return nil, err
	}
	var keys []dataKeyInfo
	for _, s := range states {
		k := dataKeyInfo{Tenant: slug, ID: s.ID, State: s.State, KEK: s.KEK, Created: s.Created.UTC(), Values: map[string]int64{}}
		if !s.Retired.IsZero() {
			k.Retired = s.Retired.UTC()
		}
		keys = append(keys, k)
	}
	for _, n := range counts {
		i := slices.IndexFunc(keys, func(k dataKeyInfo) bool { return k.ID == n.Key })
		if i < 0 {
			keys = append(keys, dataKeyInfo{Tenant: slug, ID: n.Key, State: "missing", Values: map[string]int64{}})
			i = len(keys) - 1
		}
		keys[i].Values[n.Kind] += n.Rows
		if n.Format < vault.Format {
			keys[i].Old += n.Rows
		}
	}
	return keys, nil
}

func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

type keysRotateDataCmd struct {
	ofTenants
	config.KEK
	inJSON
}

// rotatedData is what came of rotating a tenant's data key.
type rotatedData struct {
	Tenant string `json:"tenant"`
	operator.DataRotation
}

func (c *keysRotateDataCmd) Run(e *env) error {
	key, err := openKEK(e, c.KEK)
	if err != nil {
		return err
	}
	done := []rotatedData{}
	tell := func(r rotatedData, format string, args ...any) error {
		if done = append(done, r); c.JSON {
			return nil
		}
		_, err := fmt.Fprintf(e.out, "tenant "+r.Tenant+": "+format+"\n", args...)
		return err
	}
	err = c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		of, err := (&operator.Operator{Store: db, KEK: key}).RotateData(e.ctx, t)
		switch {
		case errors.Is(err, tenancy.ErrChanged):
			return errors.New("another command has just rotated the data key")
		case err != nil:
			return err
		case of.Note != "":
			return tell(rotatedData{Tenant: slug, DataRotation: *of}, of.Note)
		}
		return tell(rotatedData{Tenant: slug, DataRotation: *of}, "data key %s is active; servers seal under it within %v. Then: authserver keys rewrap", of.ID, vault.TTL)
	})
	if c.JSON {
		err = errors.Join(err, printJSON(e.out, done)) // what was done is told, whatever came after it
	}
	return err
}

type keysRewrapCmd struct {
	ofTenants
	config.KEK
	JSON      bool `name:"json" help:"Progress as JSON lines, and the result as one JSON array."`
	DeleteOld bool `name:"delete-old" help:"Delete retired data keys under which nothing is left. What only a backup holds under them opens never again."`
}

// rewrapped is the result for a tenant.
type rewrapped struct {
	Tenant string `json:"tenant"`
	rewrap.Progress
	Deleted []uuid.UUID `json:"data_keys_deleted"`
	Kept    []uuid.UUID `json:"retired_data_keys_kept"`
}

func (c *keysRewrapCmd) Run(e *env) error {
	key, err := openKEK(e, c.KEK)
	if err != nil {
		return err
	}
	results := []rewrapped{}
	err = c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		v, err := vault.New(vault.Config{KEK: key, Store: db})
		if err != nil {
			return err
		}
		bar := progress.New(e.errOut, "tenant "+slug, c.JSON)
		r := rewrap.Run{Store: db, KEK: key, Vault: v, Report: func(p rewrap.Progress) { bar.Report(rewrapStep(slug, p)) }}
		out := rewrapped{Tenant: slug, Deleted: []uuid.UUID{}, Kept: []uuid.UUID{}}
		out.Progress, err = r.Tenant(e.ctx, t)
		bar.End(rewrapStep(slug, out.Progress))
		if err != nil {
			return err
		}
		if err := c.retired(e, db, t, &out); err != nil {
			return err
		}
		results = append(results, out)
		return nil
	})
	if c.JSON {
		err = errors.Join(err, printJSON(e.out, results))
	} else {
		for _, r := range results {
			_, _ = fmt.Fprintf(e.out, "tenant %s: %d data keys rewrapped, %d rows sealed anew, %d values left, %d refused; retired data keys: %d deleted, %d kept\n",
				r.Tenant, r.Wrapped, r.Done, total(r.Left), r.Refused, len(r.Deleted), len(r.Kept))
		}
	}
	for _, r := range results {
		if r.Refused > 0 {
			err = errors.Join(err, fmt.Errorf("tenant %s: %d values open under no key and were left as they are", r.Tenant, r.Refused))
		}
	}
	return err
}

// rewrapStep is how far a tenant is. What was left is counted at the beginning, in
// values, of which a row may hold two, and at the end.
func rewrapStep(slug string, p rewrap.Progress) progress.Step {
	var left []string
	for _, id := range slices.Sorted(maps.Keys(p.Left)) {
		if n := p.Left[id]; n > 0 {
			left = append(left, fmt.Sprintf("%d under %s", n, id))
		}
	}
	if left == nil {
		left = []string{"0"}
	}
	return progress.Step{
		Done: p.Done, Total: max(p.Done, total(p.Left)), Machine: rewrapped{Tenant: slug, Progress: p},
		Text: fmt.Sprintf("tenant %s: %d rows sealed anew, left: %s", slug, p.Done, strings.Join(left, ", ")),
	}
}

// retired deletes the retired data keys that may go, if that is asked for, and
// notes those that stay.
func (c *keysRewrapCmd) retired(e *env, db *postgres.DB, t tenant.ID, out *rewrapped) error {
	states, err := db.DataKeyStates(e.ctx, t)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.State != "retired" {
			continue
		}
		gone := false
		if c.DeleteOld {
			if gone, err = db.DeleteDataKey(e.ctx, t, s.ID, settle); err != nil {
				return err
			}
		}
		if gone {
			out.Deleted = append(out.Deleted, s.ID)
		} else {
			out.Kept = append(out.Kept, s.ID)
		}
	}
	return nil
}

func total(left map[string]int64) (n int64) {
	for _, k := range left {
		n += k
	}
	return n
}

type verifyReceiptCmd struct {
	Receipt string `arg:"" help:"File with the receipt." placeholder:"FILE"`
	JWKS    string `name:"jwks" required:"" help:"File with the issuer's key set of that time, from its JWKS endpoint." placeholder:"FILE"`
	JSON    bool   `name:"json" help:"JSON, as without it: there is no other form."`
}

func (c *verifyReceiptCmd) Run(e *env) error {
	read := func(name string) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		return io.ReadAll(io.LimitReader(f, 1<<20)) // Verify refuses less than that
	}
	receipt, err := read(c.Receipt)
	if err != nil {
		return fmt.Errorf("reading the receipt: %w", err)
	}
	jwks, err := read(c.JWKS)
	if err != nil {
		return fmt.Errorf("reading the key set: %w", err)
	}
	r, err := erasure.Verify(string(receipt), jwks)
	if err != nil {
		return err
	}
	return printJSON(e.out, r)
}
