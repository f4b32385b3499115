package app

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/progress"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

type tenantsCmd struct {
	Create    tenantsCreateCmd    `cmd:"" help:"Make a tenant. Servers serve it within seconds."`
	List      tenantsListCmd      `cmd:"" help:"List tenants."`
	Show      tenantsShowCmd      `cmd:"" help:"Show a tenant: issuer, resources, Google client, policy."`
	Update    tenantsUpdateCmd    `cmd:"" help:"Change a tenant; what is not given stays."`
	Approve   tenantsApproveCmd   `cmd:"" help:"Approve a client for scopes, for everybody of the tenant."`
	Unapprove tenantsUnapproveCmd `cmd:"" help:"Withdraw an approval. With the policy clients=approved the client is refused from now on; nothing is deleted."`
	Suspend   tenantsSuspendCmd   `cmd:"" help:"Cut a tenant off: no sign-in, no token, no tool call. Nothing is deleted."`
	Resume    tenantsResumeCmd    `cmd:"" help:"End a suspension."`
	Export    tenantsExportCmd    `cmd:"" help:"Write what is stored of a tenant, without secrets, as JSON lines."`
	Erase     tenantsEraseCmd     `cmd:"" help:"Delete a suspended tenant for good."`
	Google    googleClientCmd     `cmd:"" name:"google-client" help:"A tenant's own OAuth client at Google."`
}

// ofTenancy are the settings of commands about tenants.
type ofTenancy struct {
	config.Tenancy
	JSON bool `name:"json" help:"JSON instead of text."`
}

// operate opens the database and calls f with the operator of its tenants.
func (c *ofTenancy) operate(e *env, f func(*tenancy.Operator, *postgres.DB) error) error {
	settings, err := c.Check()
	if err != nil {
		return err
	}
	db, err := openDB(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	return f(Operator(settings, db, nil), db)
}

// print writes tenants, one or many.
func (c *ofTenancy) print(e *env, o *tenancy.Operator, records ...tenancy.Record) error {
	views := make([]tenancy.View, len(records))
	for i, r := range records {
		var err error
		if views[i], err = o.View(r); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e.out, views)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TENANT\tSTATUS\tISSUER\tRESOURCES\tGOOGLE CLIENT\tNAME")
	for _, v := range views {
		urls := make([]string, len(v.Resources))
		for i, r := range v.Resources {
			urls[i] = r.URL
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%q\n", v.Slug, v.Status, v.Issuer, strings.Join(urls, " "), v.Google.Of, v.Name)
	}
	return table.Flush()
}

// show writes everything about one tenant.
func (c *ofTenancy) show(e *env, o *tenancy.Operator, r *tenancy.Record) error {
	v, err := o.View(*r)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, v)
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	row("tenant", v.Slug)
	row("id", v.ID)
	row("name", v.Name)
	row("status", string(v.Status))
	row("problem", v.Problem)
	row("issuer", v.Issuer)
	for _, res := range v.Resources {
		row("resource", strings.TrimSpace(res.URL+" "+res.Product))
	}
	row("google client", strings.TrimSpace(string(v.Google.Of)+" "+v.Google.ClientID+" "+string(v.Google.Publishing)))
	row("redirect URI at Google", v.Google.CallbackURL)
	if p, err := tenant.ParsePolicy(v.Policy); err == nil {
		for _, a := range p.Approvals {
			row("approved client", strings.TrimSpace(fmt.Sprintf("%s: %s  %q", a.ClientID, strings.Join(a.Scopes, " "), a.Note)))
		}
	}
	row("policy", string(v.Policy))
	row("generation", fmt.Sprint(v.Generation))
	row("changed", v.Updated.Format(time.RFC3339))
	return table.Flush()
}

// tenantArg names the tenant of a command.
type tenantArg struct {
	Slug string `arg:"" help:"Slug of the tenant."`
}

// tenantFlags are what a tenant is made of. Lists replace what was there; an
// empty one ("") restricts nothing.
type tenantFlags struct {
	Name     *string  `name:"name" help:"Name for people."`
	Host     *string  `name:"host" help:"Host of its own: its issuer becomes https://HOST. Empty: below ISSUER, at /t/SLUG." placeholder:"HOST"`
	Resource []string `name:"resource" sep:"none" help:"MCP URL, repeat for several; PRODUCT=URL serves one product only, e.g. gmail=https://mcp.acme.example/gmail (default: /t/SLUG at the origin of RESOURCE_URL)." placeholder:"URL"`

	PolicyFile     string    `name:"policy-file" help:"The whole policy as JSON; - is standard input." placeholder:"FILE"`
	GoogleDomains  *[]string `name:"google-domains" help:"Workspace domains whose people may sign in." placeholder:"DOMAIN,..."`
	Profile        *string   `name:"profile" help:"Consent profile: lite, standard or full."`
	AllowedScopes  *[]string `name:"allowed-scopes" help:"Scopes that clients may have." placeholder:"SCOPE,..."`
	AllowedTools   *[]string `name:"allowed-tools" help:"Tools that are served." placeholder:"TOOL,..."`
	AllowedOrigins *[]string `name:"allowed-origins" help:"Origins of browser clients, in place of the resource server's ALLOWED_ORIGINS." placeholder:"ORIGIN,..."`
	Clients        *string   `name:"clients" help:"any, or approved: only clients that authserver tenants approve has named." placeholder:"RULE"`
	Limits         *[]string `name:"limits" help:"Rate limits of the tenant's own, by the names and windows of docs/limits.md." placeholder:"NAME=N,..."`
	SessionsMax    *int      `name:"sessions-max" help:"Browser sessions of one person at a time."`
	ReportOnly     *[]string `name:"report-only" help:"Policies that refuse nothing and log what they would have refused: ${reportable}." placeholder:"POLICY,..."`
}

// change reads the flags over the policy that stands.
func (f *tenantFlags) change(e *env, standing []byte) (tenancy.Change, error) {
	c := tenancy.Change{Name: f.Name, Host: f.Host}
	for _, given := range f.Resource {
		product, url, named := strings.Cut(given, "=")
		if !named || strings.Contains(product, ":") {
			product, url = "", given
		}
		c.Resources = append(c.Resources, tenancy.Resource{URL: url, Product: product})
	}
	if f.PolicyFile != "" {
		b, err := readInput(e, f.PolicyFile, tenant.MaxPolicyBytes)
		if err != nil {
			return c, err
		}
		standing = b
	}
	p, err := tenant.ParsePolicy(standing)
	if err != nil {
		return c, err
	}
	for _, one := range []struct {
		given *[]string
		into  *[]string
	}{{f.GoogleDomains, &p.GoogleDomains}, {f.AllowedScopes, &p.AllowedScopes}, {f.AllowedTools, &p.AllowedTools}, {f.AllowedOrigins, &p.AllowedOrigins}} {
		if one.given != nil {
			*one.into = filled(*one.given)
		}
	}
	if f.Profile != nil {
		p.Profile = scope.Profile(*f.Profile)
	}
	if f.Clients != nil {
		p.Clients = tenant.ClientRule(*f.Clients)
	}
	if f.Limits != nil {
		if p.Limits, err = limitQuotas(filled(*f.Limits)); err != nil {
			return c, err
		}
	}
	if f.SessionsMax != nil {
		p.SessionsMax = *f.SessionsMax
	}
	if f.ReportOnly != nil {
		p.ReportOnly = nil
		for _, name := range filled(*f.ReportOnly) {
			p.ReportOnly = append(p.ReportOnly, tenant.PolicyName(name))
		}
	}
	c.Policy = &p
	return c, p.Check()
}

func filled(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// readInput reads a small file, or standard input for "-".
func readInput(e *env, file string, limit int64) ([]byte, error) {
	in := e.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, limit)
	}
	return b, nil
}

type tenantsCreateCmd struct {
	ofTenancy
	tenantArg
	tenantFlags
}

func (c *tenantsCreateCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		change, err := c.change(e, []byte("{}"))
		if err != nil {
			return err
		}
		r, err := o.Create(e.ctx, c.Slug, change)
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type tenantsListCmd struct{ ofTenancy }

func (c *tenantsListCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		all, err := o.List(e.ctx)
		if err != nil {
			return err
		}
		return c.print(e, o, all...)
	})
}

type tenantsShowCmd struct {
	ofTenancy
	tenantArg
}

func (c *tenantsShowCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Find(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type tenantsUpdateCmd struct {
	ofTenancy
	tenantArg
	tenantFlags
}

func (c *tenantsUpdateCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Find(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		change, err := c.change(e, r.Policy)
		if err != nil {
			return err
		}
		if r, err = o.UpdateFrom(e.ctx, r, change); err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type tenantsSuspendCmd struct {
	ofTenancy
	tenantArg
}

func (c *tenantsSuspendCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Suspend(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type tenantsResumeCmd struct {
	ofTenancy
	tenantArg
}

func (c *tenantsResumeCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Resume(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type tenantsExportCmd struct {
	ofTenancy
	tenantArg
}

func (c *tenantsExportCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, db *postgres.DB) error {
		bar, last := progress.New(e.errOut, "tenant "+c.Slug, c.JSON), exportStep(c.Slug, 0)
		defer func() { bar.End(last) }()
		r, err := o.Find(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		return (&operator.Operator{Store: db}).ExportTenant(e.ctx, r.ID, c.Slug, &tenancy.Ender{Rows: db, Tenant: o, Exported: func(rows int64) {
			last = exportStep(c.Slug, rows)
			bar.Report(last)
		}}, e.out)
	})
}

// exportStep is how far an export is; how many rows there are nobody knows before.
func exportStep(slug string, rows int64) progress.Step {
	return progress.Step{Done: rows, Text: fmt.Sprintf("tenant %s: %d rows written", slug, rows), Machine: map[string]any{"tenant": slug, "rows_written": rows}}
}

type tenantsEraseCmd struct {
	ofTenancy
	tenantArg
	config.KEK
	Confirm string `name:"confirm" help:"The slug once more: this cannot be undone." placeholder:"SLUG"`
}

func (c *tenantsEraseCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, db *postgres.DB) error {
		keys, err := openSealed(e, c.KEK, o, db)
		if err != nil {
			return err
		}
		gone, err := (&tenancy.Ender{Rows: db, Shred: keys.shredder(), Tenant: o}).Erase(e.ctx, c.Slug, c.Confirm)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(e.out, gone)
		}
		for _, table := range slices.Sorted(maps.Keys(gone.Rows)) {
			if gone.Rows[table] > 0 {
				_, _ = fmt.Fprintf(e.out, "%s: %d rows\n", table, gone.Rows[table])
			}
		}
		_, err = fmt.Fprintf(e.out, "tenant %s is erased; backups hold it until they end. The receipt, which authserver keys verify-receipt checks:\n%s\n", c.Slug, gone.Receipt)
		return err
	})
}

type googleClientCmd struct {
	Set  googleClientSetCmd  `cmd:"" help:"Give a tenant its own OAuth client at Google, or a new secret for it."`
	Show googleClientShowCmd `cmd:"" help:"Show which OAuth client a tenant uses; its secret is never shown."`
}

const maxSecretInput = 4 << 10

type googleClientSetCmd struct {
	ofTenancy
	tenantArg
	config.KEK
	ClientID   string `name:"client-id" help:"Client id at Google." placeholder:"ID"`
	SecretFile string `name:"secret-file" default:"-" help:"File that holds the client secret; - is standard input. It is never an argument: those are seen by everybody on the machine." placeholder:"FILE"`
	Publishing string `name:"publishing" default:"production" enum:"testing,production" help:"State of the consent screen at Google; in testing refresh tokens end after seven days."`
	Deployment bool   `name:"deployment" help:"End the tenant's own client: use the deployment's."`
}

func (c *googleClientSetCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, db *postgres.DB) error {
		if c.Deployment {
			r, err := o.UseDeploymentClient(e.ctx, c.Slug)
			if err != nil {
				return err
			}
			return c.show(e, o, r)
		}
		key, err := openKEK(e, c.KEK)
		if err != nil {
			return err
		}
		if o.Vault, err = vault.New(vault.Config{KEK: key, Store: db}); err != nil {
			return err
		}
		b, err := readInput(e, c.SecretFile, maxSecretInput)
		if err != nil {
			return err
		}
		r, err := o.SetGoogleClient(e.ctx, c.Slug, tenancy.GoogleClient{
			ID: c.ClientID, Secret: secret.NewText(strings.TrimRight(string(b), "\r\n")), Publishing: tenancy.Publishing(c.Publishing),
		})
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

type googleClientShowCmd struct {
	ofTenancy
	tenantArg
}

func (c *googleClientShowCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Find(e.ctx, c.Slug)
		if err != nil {
			return err
		}
		v, err := o.View(*r)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(e.out, v.Google)
		}
		_, err = fmt.Fprintf(e.out, "%s %s %s generation %d, redirect URI %s\n", v.Google.Of, v.Google.ClientID, v.Google.Publishing, v.Google.Generation, v.Google.CallbackURL)
		return err
	})
}
