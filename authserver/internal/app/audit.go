package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

const maxJWKS = 1 << 20

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Show whether the audit trail is as it was sealed. Exit status 1 if it is not."`
	Export auditExportCmd `cmd:"" help:"Write the sealed audit trail as JSON lines, which verify can check offline."`
	Search auditSearchCmd `cmd:"" help:"Find events, newest first."`
}

type auditVerifyCmd struct {
	ofTenants
	config.KEK          // opens the tenants' signing keys in the database, whose signatures count
	JWKSFile   string   `name:"jwks-file" help:"Trusted public keys instead of those in the database: the JWKS that the tenants published." placeholder:"FILE"`
	File       string   `name:"file" help:"Verify an export instead of the database; needs --jwks-file." placeholder:"FILE"`
	Anchor     []string `name:"anchor" sep:"none" help:"A checkpoint as the log has it; repeat for several." placeholder:"TENANT:SEQ:HASH"`
	JSON       bool     `name:"json" help:"JSON instead of sentences."`
}

func (c *auditVerifyCmd) Run(e *env) error {
	var anchors []audit.Anchor
	for _, text := range c.Anchor {
		a, err := audit.ParseAnchor(text)
		if err != nil {
			return fmt.Errorf("--anchor: %w", err)
		}
		anchors = append(anchors, a)
	}
	if (c.File != "" || c.KEKFile == "" && c.KEKURI == "") && c.JWKSFile == "" {
		return errors.New("say whose signatures count: --jwks-file, or --kek-file or --kek-uri for what is in the database")
	}
	var trusted jose.JSONWebKeySet
	if c.JWKSFile != "" {
		var err error
		if trusted, err = readJWKS(c.JWKSFile); err != nil {
			return err
		}
	}
	var reports []*audit.Report
	var err error
	if c.File != "" {
		reports, err = verifyFile(c.File, trusted, anchors)
	} else {
		reports, err = c.database(e, trusted, anchors)
	}
	if err != nil {
		return err
	}
	for _, a := range anchors { // one that was compared with nothing shows nothing
		met := false
		for _, r := range reports {
			met = met || r.Tenant == a.Tenant.String()
		}
		if !met {
			return fmt.Errorf("--anchor %s: its tenant has no chain here", a)
		}
	}
	return c.print(e, reports)
}

func (c *auditVerifyCmd) database(e *env, trusted jose.JSONWebKeySet, anchors []audit.Anchor) ([]*audit.Report, error) {
	var kek *vault.KEK
	if c.JWKSFile == "" {
		var err error
		if kek, err = openKEK(e, c.KEK); err != nil {
			return nil, err
		}
	}
	var reports []*audit.Report
	err := c.each(e, func(db *postgres.DB, _ string, t tenant.ID) error {
		keys := trusted
		if kek != nil {
			v, err := vault.New(vault.Config{KEK: kek, Store: db})
			if err != nil {
				return err
			}
			if keys, err = (&keyset.Operator{Store: db, Vault: v}).PublicKeys(e.ctx, t); err != nil {
				return err
			}
		}
		r, err := (&operator.Operator{Store: db}).VerifyAudit(e.ctx, t, keys, anchors...)
		reports = append(reports, r)
		return err
	})
	return reports, err
}

func (c *auditVerifyCmd) print(e *env, reports []*audit.Report) error {
	bad := 0
	for _, r := range reports {
		if !r.OK() {
			bad++
		}
	}
	if c.JSON {
		out := json.NewEncoder(e.out)
		out.SetIndent("", "  ")
		if err := out.Encode(reports); err != nil {
			return err
		}
	} else {
		for _, r := range reports {
			_, _ = fmt.Fprintf(e.out, "tenant %s: %d events up to %d, %d checkpoints, signed up to %d\n", r.Tenant, r.Events, r.Head, r.Checkpoints, r.Attested)
			for _, f := range r.Findings {
				_, _ = fmt.Fprintf(e.out, "  at %d: %s\n", f.Seq, f.Problem)
			}
			if r.More {
				_, _ = fmt.Fprintln(e.out, "  and more")
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d audit trails are not as they were sealed", bad, len(reports))
	}
	return nil
}

func verifyFile(name string, keys jose.JSONWebKeySet, anchors []audit.Anchor) (reports []*audit.Report, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading export: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading export: %w", err)
	}
	return audit.VerifyFile(f, info.Size(), keys, anchors)
}

func readJWKS(name string) (keys jose.JSONWebKeySet, err error) {
	f, err := os.Open(name)
	if err != nil {
		return keys, fmt.Errorf("reading --jwks-file: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := json.NewDecoder(io.LimitReader(f, maxJWKS)).Decode(&keys); err != nil || len(keys.Keys) == 0 {
		return keys, errors.New("--jwks-file holds no key set")
	}
	for _, k := range keys.Keys {
		if !k.IsPublic() {
			return keys, errors.New("--jwks-file must hold public keys only")
		}
	}
	return keys, nil
}

// span is the part of the trail that a command is about.
type span struct {
	Since time.Time `name:"since" help:"Only events from this time on, e.g. 2026-01-31T00:00:00Z." placeholder:"TIME"`
	Until time.Time `name:"until" help:"Only events before this time." placeholder:"TIME"`
}

type auditExportCmd struct {
	ofTenants
	span
	JSON bool `name:"json" help:"JSON lines, as without it: there is no other form."`
}

func (c *auditExportCmd) Run(e *env) error {
	return c.each(e, func(db *postgres.DB, _ string, t tenant.ID) error {
		return (&operator.Operator{Store: db}).ExportAudit(e.ctx, t, c.Since, c.Until, e.out)
	})
}

type auditSearchCmd struct {
	ofTenants
	span
	Subject string `name:"subject" help:"Of this person (sub of an access token)." placeholder:"UUID"`
	Client  string `name:"client" help:"Of this client." placeholder:"ID"`
	Grant   string `name:"grant" help:"Of this grant." placeholder:"UUID"`
	Kind    string `name:"kind" help:"Of this kind, e.g. grant.refreshed." placeholder:"KIND"`
	ID      string `name:"id" help:"Of the request with this id, as an error page, a tool error or a log line shows it." placeholder:"ID"`
	Limit   int    `name:"limit" default:"100" help:"At most so many events of a tenant, up to 1000."`
	Before  int64  `name:"before" help:"The next page, as the end of the last one says; needs --tenant." placeholder:"N"`
	JSON    bool   `name:"json" help:"JSON lines instead of a table."`
}

// foundEvent is a line of a search.
type foundEvent struct {
	Tenant string `json:"tenant"`
	ID     int64  `json:"id"`
	audit.Sealed
}

func (c *auditSearchCmd) query() (audit.Query, error) {
	q := audit.Query{Client: c.Client, Kind: audit.Kind(c.Kind), Request: c.ID, Since: c.Since, Until: c.Until, Before: c.Before, Limit: c.Limit}
	var err error
	if c.Subject != "" {
		if q.Subject, err = uuid.Parse(c.Subject); err != nil {
			return q, errors.New("--subject is no UUID")
		}
	}
	if c.Grant != "" {
		if q.Grant, err = uuid.Parse(c.Grant); err != nil {
			return q, errors.New("--grant is no UUID")
		}
	}
	known := c.Kind == ""
	names := make([]string, 0, len(audit.Kinds()))
	for _, k := range audit.Kinds() {
		known = known || k == q.Kind
		names = append(names, string(k))
	}
	switch {
	case !known:
		return q, fmt.Errorf("--kind must be one of %s", strings.Join(names, ", "))
	case c.Limit < 1 || c.Limit > audit.MaxPage:
		return q, fmt.Errorf("--limit must be from 1 to %d", audit.MaxPage)
	case c.Before != 0 && c.Tenant == "":
		return q, errors.New("--before needs --tenant")
	}
	return q, nil
}

func (c *auditSearchCmd) Run(e *env) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	lines := json.NewEncoder(e.out)
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		_, _ = fmt.Fprintln(table, "TENANT\tSEQ\tAT\tKIND\tACTOR\tOUTCOME\tDETAIL\tSUBJECT\tCLIENT\tTOOL\tREQUEST")
	}
	if err := c.each(e, func(db *postgres.DB, slug string, t tenant.ID) error {
		found, err := (&operator.Operator{Store: db}).SearchAudit(e.ctx, t, q)
		if err != nil {
			return err
		}
		for _, s := range found {
			if c.JSON {
				if err := lines.Encode(foundEvent{slug, s.ID, s}); err != nil {
					return err
				}
				continue
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", slug, orDash(s.Seq != 0, s.Seq), s.At.Format(time.RFC3339), s.Kind, s.Actor, s.Outcome,
				orDash(s.Detail != "", s.Detail), orDash(s.Subject != uuid.Nil, s.Subject), orDash(s.Client != "", s.Client), orDash(s.Tool != "", s.Tool), orDash(s.RequestID != "", s.RequestID))
		}
		if len(found) == q.Limit {
			_, _ = fmt.Fprintf(e.errOut, "tenant %s may have more: --tenant %s --before %d\n", slug, slug, found[len(found)-1].ID)
		}
		return nil
	}); err != nil {
		return err
	}
	if c.JSON {
		return nil
	}
	return table.Flush()
}

func orDash(there bool, value any) string {
	if !there {
		return "-"
	}
	return fmt.Sprint(value)
}
