package admin

import (
	"context"
	"io"
	"slices"
	"strconv"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
)

// operationRoutes are about keys, the audit trail and exports.
func (a *API) operationRoutes() []*Route {
	return []*Route{
		{Method: "GET", Path: "/tenants/{tenant}/keys", Scope: KeysRead, serve: plain(func(c *call) error {
			keys, err := a.Operator.SigningKeys(c.ctx(), c.tenant)
			return shown(c, &list{Items: keys}, err)
		})},
		{Method: "POST", Path: "/tenants/{tenant}/keys/rotate", Scope: KeysWrite, serve: plain(a.rotateKeys)},
		{Method: "GET", Path: "/tenants/{tenant}/data-keys", Scope: KeysRead, serve: plain(func(c *call) error {
			keys, err := a.Operator.DataKeys(c.ctx(), c.tenant)
			return shown(c, &list{Items: some(keys)}, err)
		})},
		{Method: "POST", Path: "/tenants/{tenant}/data-keys/rotate", Scope: KeysWrite, serve: plain(func(c *call) error {
			done, err := a.Operator.RotateData(c.ctx(), c.tenant)
			return shown(c, done, err)
		})},
		{Method: "GET", Path: "/tenants/{tenant}/audit/export", Scope: AuditRead, query: []string{"since", "until"}, serve: a.exportAudit},
		{Method: "GET", Path: "/tenants/{tenant}/export", Scope: TenantsExport, serve: plain(func(c *call) error {
			return a.stream(c, func(ctx context.Context, w io.Writer) error {
				return a.Operator.ExportTenant(ctx, c.tenant, c.slug, a.Ender, w)
			})
		})},
		{Method: "GET", Path: "/tenants/{tenant}/audit", Scope: AuditRead, query: paged("subject", "client", "grant", "kind", "request", "since", "until"), serve: a.searchAudit},
	}
}

func (a *API) rotateKeys(c *call) error {
	var body struct {
		Purpose keyset.Purpose `json:"purpose"`
		AtOnce  bool           `json:"at_once"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	var purposes []keyset.Purpose
	if body.Purpose != "" {
		if !slices.Contains(keyset.Purposes(), body.Purpose) {
			return tenancy.Invalid("purpose is one of %v", keyset.Purposes())
		}
		purposes = append(purposes, body.Purpose)
	}
	// The deployment's administrators have tokens by the default tenant's key for
	// access tokens (decision 0016): who may end them must be one of them.
	if !c.who.Everywhere && c.tenant == tenant.DefaultID && body.Purpose != keyset.ForGrants {
		return forbidden("deployment_only", "The default tenant's keys for access tokens are for administrators of the whole deployment: their own tokens are signed by them.")
	}
	done, err := a.Operator.Rotate(c.ctx(), c.tenant, body.AtOnce, purposes...)
	return shown(c, &list{Items: done}, err)
}

// event is an audit event with the id by which pages go on.
type event struct {
	ID int64 `json:"id"`
	audit.Sealed
}

func (a *API) searchAudit(c *call) error {
	q, subject, err := c.bySubject()
	if err != nil {
		return err
	}
	f := audit.Query{Subject: subject, Client: q.Get("client"), Kind: audit.Kind(q.Get("kind")), Request: q.Get("request")}
	if f.Grant, err = uuidOf(q, "grant"); err != nil {
		return err
	}
	if f.Since, err = timeOf(q, "since"); err != nil {
		return err
	}
	if f.Until, err = timeOf(q, "until"); err != nil {
		return err
	}
	if f.Kind != "" && !slices.Contains(audit.Kinds(), f.Kind) {
		return tenancy.Invalid("there is no kind %q of events", string(f.Kind))
	}
	return page(a, c, q, func(p operator.Page) ([]event, error) {
		if p.After != "" {
			if f.Before, err = strconv.ParseInt(p.After, 10, 64); err != nil {
				return nil, err
			}
		}
		f.Limit = p.Limit
		found, err := a.Operator.SearchAudit(c.ctx(), c.tenant, f)
		out := make([]event, len(found))
		for i, s := range found {
			out[i] = event{s.ID, s}
		}
		return out, err
	}, func(e event) string { return strconv.FormatInt(e.ID, 10) })
}

func (a *API) exportAudit(c *call) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	since, err := timeOf(q, "since")
	if err != nil {
		return err
	}
	until, err := timeOf(q, "until")
	if err != nil {
		return err
	}
	return a.stream(c, func(ctx context.Context, w io.Writer) error {
		return a.Operator.ExportAudit(ctx, c.tenant, since, until, w)
	})
}
