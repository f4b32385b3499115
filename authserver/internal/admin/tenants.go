package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/secret"
)

func (a *API) tenantRoutes() []*Route {
	return []*Route{
		{Method: "GET", Path: "/tenants", Scope: TenantsRead, query: paged(), serve: a.listTenants},
		{Method: "POST", Path: "/tenants", Scope: TenantsWrite, Everywhere: true, serve: plain(a.createTenant)},
		{Method: "GET", Path: "/tenants/{tenant}", Scope: TenantsRead, serve: plain(a.showTenant)},
		{Method: "PATCH", Path: "/tenants/{tenant}", Scope: TenantsWrite, serve: plain(a.updateTenant)},
		{Method: "DELETE", Path: "/tenants/{tenant}", Scope: TenantsErase, Everywhere: true, query: []string{"confirm"}, serve: a.eraseTenant},
		{Method: "POST", Path: "/tenants/{tenant}/suspend", Scope: TenantsWrite, Everywhere: true, serve: plain(func(c *call) error {
			r, err := a.Tenancy.Suspend(c.ctx(), c.slug)
			return a.tenant(c, http.StatusOK, r, err)
		})},
		{Method: "POST", Path: "/tenants/{tenant}/resume", Scope: TenantsWrite, Everywhere: true, serve: plain(func(c *call) error {
			r, err := a.Tenancy.Resume(c.ctx(), c.slug)
			return a.tenant(c, http.StatusOK, r, err)
		})},
		{Method: "PUT", Path: "/tenants/{tenant}/google-client", Scope: TenantsWrite, Everywhere: true, serve: plain(a.setGoogleClient)},
		{Method: "DELETE", Path: "/tenants/{tenant}/google-client", Scope: TenantsWrite, Everywhere: true, serve: plain(func(c *call) error {
			r, err := a.Tenancy.UseDeploymentClient(c.ctx(), c.slug)
			return a.tenant(c, http.StatusOK, r, err)
		})},
	}
}

// tenant answers with a tenant, whose generation is its entity tag.
func (a *API) tenant(c *call, status int, r *tenancy.Record, err error) error {
	if err != nil {
		return err
	}
	v, err := a.Tenancy.View(*r)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", etag(r))
	web.WriteJSON(c.w, status, v)
	return nil
}

func etag(r *tenancy.Record) string { return `"` + strconv.FormatInt(r.Generation, 10) + `"` }

func (a *API) listTenants(c *call) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return page(a, c, q, func(p operator.Page) ([]tenancy.View, error) {
		all, err := a.Tenancy.List(c.ctx())
		if err != nil {
			return nil, err
		}
		var views []tenancy.View
		for _, r := range all {
			if r.Slug <= p.After || !c.who.Everywhere && r.ID != c.who.Tenant {
				continue
			}
			v, err := a.Tenancy.View(r)
			if err != nil {
				return nil, err
			}
			if views = append(views, v); len(views) == p.Limit {
				break
			}
		}
		return views, nil
	}, func(v tenancy.View) string { return v.Slug })
}

func (a *API) showTenant(c *call) error {
	r, err := a.Tenancy.Find(c.ctx(), c.slug)
	return a.tenant(c, http.StatusOK, r, err)
}

// tenantBody is what a tenant is made of; what is absent stays, or is as in the
// deployment.
type tenantBody struct {
	Name      *string         `json:"name"`
	Host      *string         `json:"host"`
	Resources []resourceBody  `json:"resources"`
	Policy    json.RawMessage `json:"policy"` // the whole
}

type resourceBody struct {
	URL     string `json:"url"`
	Product string `json:"product"`
}

func (b tenantBody) change() (tenancy.Change, error) {
	out := tenancy.Change{Name: b.Name, Host: b.Host}
	for _, r := range b.Resources {
		out.Resources = append(out.Resources, tenancy.Resource{URL: r.URL, Product: r.Product})
	}
	if b.Resources != nil && len(b.Resources) == 0 {
		return out, tenancy.Invalid("a tenant has at least one resource")
	}
	if string(b.Policy) == "null" { // it would be one that restricts nothing
		return out, tenancy.Invalid("policy is not an object")
	}
	if b.Policy != nil {
		p, err := tenant.ParsePolicy(b.Policy)
		if err != nil {
			return out, &tenancy.InvalidError{Reason: err}
		}
		out.Policy = &p
	}
	return out, nil
}

func (a *API) createTenant(c *call) error {
	var body struct {
		Slug string `json:"slug"`
		tenantBody
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	change, err := body.change()
	if err != nil {
		return err
	}
	r, err := a.Tenancy.Create(c.ctx(), body.Slug, change)
	if err == nil {
		c.w.Header().Set("Location", Base+"/tenants/"+r.Slug)
	}
	return a.tenant(c, http.StatusCreated, r, err)
}

// updateTenant changes the tenant that its client has read (RFC 9110 §13.1.1), so
// that nobody undoes what another has done meanwhile.
func (a *API) updateTenant(c *call) error {
	match := c.r.Header.Get("If-Match")
	if match == "" || match == "*" || strings.Contains(match, ",") {
		return &web.ProblemError{Status: http.StatusPreconditionRequired, Code: "precondition_required", Detail: "Send If-Match with the ETag of the tenant that you have read."}
	}
	var body tenantBody
	if err := c.decode(&body); err != nil {
		return err
	}
	change, err := body.change()
	if err != nil {
		return err
	}
	r, err := a.Tenancy.Find(c.ctx(), c.slug)
	if err != nil {
		return err
	}
	stale := &web.ProblemError{Status: http.StatusPreconditionFailed, Code: "changed", Detail: "The tenant was changed meanwhile. Read it again."}
	if match != etag(r) {
		return stale
	}
	if !c.who.Everywhere {
		if err := own(change, r); err != nil {
			return err
		}
	}
	r, err = a.Tenancy.UpdateFrom(c.ctx(), r, change)
	if errors.Is(err, tenancy.ErrChanged) {
		return stale
	}
	return a.tenant(c, http.StatusOK, r, err)
}

// own is what a tenant's own administrator may change: its name, and its policy as
// far as it allows less. Where it is served is the deployment's.
func own(change tenancy.Change, standing *tenancy.Record) error {
	if change.Host != nil || change.Resources != nil {
		return forbidden("deployment_only", "Host and resources are for administrators of the whole deployment.")
	}
	if change.Policy == nil {
		return nil
	}
	p, err := tenant.ParsePolicy(standing.Policy)
	if err != nil {
		return tenancy.Invalid("the policy that stands is of a newer program: %w", err)
	}
	if err := change.Policy.Narrows(p); err != nil {
		return &web.ProblemError{Status: http.StatusForbidden, Code: "deployment_only", Detail: "A tenant's own administrator can only narrow its policy: " + err.Error() + ".", Cause: err}
	}
	return nil
}

func (a *API) setGoogleClient(c *call) error {
	var body struct {
		ID         string             `json:"client_id"`
		Secret     string             `json:"client_secret"`
		Publishing tenancy.Publishing `json:"publishing"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Publishing == "" {
		body.Publishing = tenancy.Production
	}
	r, err := a.Tenancy.SetGoogleClient(c.ctx(), c.slug, tenancy.GoogleClient{ID: body.ID, Secret: secret.NewText(body.Secret), Publishing: body.Publishing})
	return a.tenant(c, http.StatusOK, r, err)
}

// eraseTime bounds an erasure, so that its receipt is answered before the listener
// gives the answer up.
const eraseTime = 100 * time.Second

// eraseTenant deletes a suspended tenant for good; confirm is its slug once more.
// From the moment that the keys are destroyed the receipt, which there is once, is
// answered whatever happens: 202 while rows are left, to be asked for again. A
// client that goes away does not stop it.
func (a *API) eraseTenant(c *call) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), eraseTime)
	defer cancel()
	gone, err := a.Ender.Erase(ctx, c.slug, q.Get("confirm"))
	switch {
	case err == nil:
		return c.answer(gone)
	case gone == nil:
		return err
	}
	httpx.Failed(c.ctx(), err)
	web.WriteJSON(c.w, http.StatusAccepted, gone)
	return nil
}
