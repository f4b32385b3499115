package app

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

type tenantsApproveCmd struct {
	ofTenancy
	tenantArg
	Client string   `name:"client" required:"" help:"Its id: of a registration (clients list), or the https address of its metadata document. A registration that somebody made anew is another client." placeholder:"ID"`
	Scopes []string `name:"scopes" required:"" help:"MCP scopes that it may have; those they imply are approved with them." placeholder:"SCOPE"`
	Note   string   `name:"note" help:"For administrators: why, and on whose request."`
}

func (c *tenantsApproveCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, approved, err := o.Approve(e.ctx, c.Slug, tenant.Approval{ClientID: c.Client, Scopes: filled(c.Scopes), Note: c.Note})
		if err != nil {
			return err
		}
		if !c.JSON { // what it was that was approved; the names are the client's own words
			returning := fmt.Sprintf("returning to %q", approved.RedirectURIs)
			if len(approved.RedirectURIs) == 0 {
				returning = "whose metadata document has not been fetched yet"
			}
			if _, err := fmt.Fprintf(e.out, "approved: %s client %q, %s\n", approved.Kind, cmp.Or(approved.Name, approved.Publisher, approved.Host()), returning); err != nil {
				return err
			}
		}
		return c.show(e, o, r)
	})
}

type tenantsUnapproveCmd struct {
	ofTenancy
	tenantArg
	Client string `name:"client" required:"" help:"Its id." placeholder:"ID"`
}

func (c *tenantsUnapproveCmd) Run(e *env) error {
	return c.operate(e, func(o *tenancy.Operator, _ *postgres.DB) error {
		r, err := o.Unapprove(e.ctx, c.Slug, c.Client)
		if err != nil {
			return err
		}
		return c.show(e, o, r)
	})
}

// limitQuotas reads NAME=N.
func limitQuotas(list []string) (tenant.LimitQuotas, error) {
	out := tenant.LimitQuotas{}
	for _, one := range list {
		name, number, _ := strings.Cut(one, "=")
		n, err := strconv.ParseInt(number, 10, 64)
		if _, twice := out[name]; err != nil || twice {
			return nil, fmt.Errorf("limits: %q: give each limit once, as NAME=N, such as person=2000", one)
		}
		out[name] = n
	}
	return out, nil
}

func joined(names []tenant.PolicyName) string {
	var out []string
	for _, n := range names {
		out = append(out, string(n))
	}
	return strings.Join(out, ", ")
}
