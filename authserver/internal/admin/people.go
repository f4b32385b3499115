package admin

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/web"
)

// peopleRoutes are about what people have here.
func (a *API) peopleRoutes() []*Route {
	o := a.Operator
	return []*Route{
		{Method: "GET", Path: "/tenants/{tenant}/connections", Scope: ConnectionsRead, query: paged("subject", "status"), serve: a.listConnections},
		{Method: "GET", Path: "/tenants/{tenant}/connections/{connection}", Scope: ConnectionsRead, serve: named("connection", func(c *call, id uuid.UUID) error {
			found, err := o.Connection(c.ctx(), c.tenant, id)
			return shown(c, found, err)
		})},
		{Method: "POST", Path: "/tenants/{tenant}/connections/{connection}/disconnect", Scope: ConnectionsWrite, serve: named("connection", func(c *call, id uuid.UUID) error {
			return c.done(o.Disconnect(c.ctx(), c.tenant, id))
		})},
		{Method: "POST", Path: "/tenants/{tenant}/connections/{connection}/require-reauth", Scope: ConnectionsWrite, serve: named("connection", func(c *call, id uuid.UUID) error {
			return c.done(o.RequireReauth(c.ctx(), c.tenant, id))
		})},
		{Method: "GET", Path: "/tenants/{tenant}/grants", Scope: GrantsRead, query: paged("subject", "client", "status"), serve: a.listGrants},
		{Method: "GET", Path: "/tenants/{tenant}/grants/{grant}", Scope: GrantsRead, serve: named("grant", func(c *call, id uuid.UUID) error {
			found, err := o.Grant(c.ctx(), c.tenant, id)
			return shown(c, found, err)
		})},
		{Method: "DELETE", Path: "/tenants/{tenant}/grants/{grant}", Scope: GrantsWrite, serve: named("grant", func(c *call, id uuid.UUID) error {
			return c.done(o.Revoke(c.ctx(), c.tenant, id))
		})},
		{Method: "GET", Path: "/tenants/{tenant}/sessions", Scope: SessionsRead, query: paged("subject"), serve: a.listSessions},
		{Method: "DELETE", Path: "/tenants/{tenant}/sessions/{session}", Scope: SessionsWrite, serve: named("session", func(c *call, id uuid.UUID) error {
			return c.done(o.EndSession(c.ctx(), c.tenant, id))
		})},
		{Method: "GET", Path: "/tenants/{tenant}/subjects/{subject}/export", Scope: SubjectsRead, serve: named("subject", func(c *call, id uuid.UUID) error {
			doc, err := o.ExportSubject(c.ctx(), c.tenant, id)
			if err != nil {
				return err
			}
			c.w.Header().Set("Content-Type", "application/json")
			_, _ = c.w.Write(doc)
			return nil
		})},
		{Method: "POST", Path: "/tenants/{tenant}/subjects/{subject}/erase", Scope: SubjectsErase, serve: named("subject", a.eraseSubject)},
		{Method: "POST", Path: "/tenants/{tenant}/subjects/{subject}/end-sessions", Scope: SessionsWrite, serve: named("subject", func(c *call, id uuid.UUID) error {
			n, err := o.EndSessions(c.ctx(), c.tenant, id)
			return shown(c, &endedSessions{n}, err)
		})},
	}
}

type endedSessions struct {
	Ended int64 `json:"ended"`
}

// named is a route about one thing whose id is in the path.
func named(name string, serve func(c *call, id uuid.UUID) error) func(c *call) error {
	return plain(func(c *call) error {
		id, err := c.id(name)
		if err != nil {
			return err
		}
		return serve(c, id)
	})
}

func shown[T any](c *call, found *T, err error) error {
	if err != nil {
		return err
	}
	return c.answer(found)
}

// bySubject reads the query of a list that can be narrowed to a person.
func (c *call) bySubject() (url.Values, uuid.UUID, error) {
	q, err := c.query()
	if err != nil {
		return nil, uuid.Nil, err
	}
	subject, err := uuidOf(q, "subject")
	return q, subject, err
}

func (a *API) listConnections(c *call) error {
	q, subject, err := c.bySubject()
	if err != nil {
		return err
	}
	f := operator.ConnectionFilter{Subject: subject, Status: connection.Status(q.Get("status"))}
	return page(a, c, q, func(p operator.Page) ([]operator.Connection, error) {
		return a.Operator.Connections(c.ctx(), c.tenant, f, p)
	},
		func(x operator.Connection) string { return x.ID.String() })
}

func (a *API) listGrants(c *call) error {
	q, subject, err := c.bySubject()
	if err != nil {
		return err
	}
	f := operator.GrantFilter{Subject: subject, Client: q.Get("client"), Status: operator.GrantStatus(q.Get("status"))}
	return page(a, c, q, func(p operator.Page) ([]operator.Grant, error) { return a.Operator.Grants(c.ctx(), c.tenant, f, p) },
		func(x operator.Grant) string { return x.ID.String() })
}

func (a *API) listSessions(c *call) error {
	q, subject, err := c.bySubject()
	if err != nil {
		return err
	}
	return page(a, c, q, func(p operator.Page) ([]operator.Session, error) {
		return a.Operator.Sessions(c.ctx(), c.tenant, operator.SessionFilter{Subject: subject}, p)
	}, func(x operator.Session) string { return x.ID.String() })
}

// eraseSubject erases a person: 200 with the receipt when it is finished, 202 while
// Google has still to take tokens back; the servers go on by themselves.
func (a *API) eraseSubject(c *call, id uuid.UUID) error {
	var body struct {
		Confirm string `json:"confirm"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Confirm == "" {
		return tenancy.Invalid("confirm with the person's id")
	}
	out, _, err := a.Operator.EraseSubject(c.ctx(), c.tenant, id, body.Confirm)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if out.Receipt == "" {
		status = http.StatusAccepted
	}
	web.WriteJSON(c.w, status, out)
	return nil
}
