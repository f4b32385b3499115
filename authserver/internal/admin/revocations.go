package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
)

// revocationRoutes are about ending what many people have at once. A revocation is
// in force when its request is answered; the servers mark the rows.
func (a *API) revocationRoutes() []*Route {
	return []*Route{
		{Method: "POST", Path: "/revocations", Scope: RevocationsWrite, Everywhere: true, serve: plain(a.revoke)},
		{Method: "GET", Path: "/revocations/{revocation}", Scope: RevocationsRead, Everywhere: true, serve: named("revocation", a.showRevocation)},
		{Method: "POST", Path: "/tenants/{tenant}/revocations", Scope: RevocationsWrite, serve: plain(a.revoke)},
		{Method: "GET", Path: "/tenants/{tenant}/revocations/{revocation}", Scope: RevocationsRead, serve: named("revocation", a.showRevocation)},
	}
}

// everybody is the word without which nothing ends for a whole deployment.
const everybody = "everybody"

// revoked is a revocation and how far it is.
type revoked struct {
	ID          uuid.UUID `json:"id"`
	Cutoff      time.Time `json:"cutoff"` // what was granted up to it has ended
	Finished    time.Time `json:"finished_at,omitzero"`
	Rows        int64     `json:"rows_found"`
	Grants      int64     `json:"grants"`
	Sessions    int64     `json:"sessions"`
	Connections int64     `json:"connections"`
}

func revokedOf(j *revocation.Job) *revoked {
	return &revoked{ID: j.ID, Cutoff: j.Cutoff.UTC(), Finished: j.Finished.UTC(), Rows: j.Total, Grants: j.Done.Grants, Sessions: j.Done.Sessions, Connections: j.Done.Connections}
}

func (a *API) revoke(c *call) error {
	var body struct {
		Subject *uuid.UUID `json:"subject"`
		Client  string     `json:"client"`
		Google  bool       `json:"google"`
		DryRun  bool       `json:"dry_run"`
		Confirm string     `json:"confirm"` // of the whole deployment
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	s := revocation.Selector{Tenant: c.tenant, Client: body.Client, Google: body.Google}
	if body.Subject != nil {
		s.Subject = *body.Subject
	}
	if err := s.Check(); err != nil {
		return tenancy.Invalid("%v", err)
	}
	if body.DryRun {
		affected, err := a.Revoker.Count(c.ctx(), s)
		if affected == nil {
			affected = []revocation.Affected{}
		}
		return shown(c, &list{Items: affected}, err)
	}
	if c.tenant.IsZero() && body.Confirm != everybody {
		return tenancy.Invalid("this ends the access of every person of every tenant: confirm it with %q", everybody)
	}
	job, _, err := a.Revoker.Begin(c.ctx(), s)
	if err != nil {
		return err
	}
	web.WriteJSON(c.w, http.StatusAccepted, revokedOf(job))
	return nil
}

// showRevocation shows a revocation of the path's tenant, or any where the path
// has none.
func (a *API) showRevocation(c *call, id uuid.UUID) error {
	job, err := a.Revoker.Status(c.ctx(), id)
	if errors.Is(err, revocation.ErrNotFound) || err == nil && c.tenant != (tenant.ID{}) && job.Selector.Tenant != c.tenant {
		return notFound("There is no such revocation.")
	}
	if err != nil {
		return err
	}
	return c.answer(revokedOf(job))
}
