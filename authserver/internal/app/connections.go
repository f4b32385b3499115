package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
)

type connectionsCmd struct {
	List          connectionsListCmd       `cmd:"" help:"List people's Google accounts; never their addresses."`
	Show          connectionsShowCmd       `cmd:"" help:"Show one: scopes that Google granted, class of the last error."`
	Disconnect    connectionsDisconnectCmd `cmd:"" help:"End one here at once, with the grants made with it, and at Google as soon as Google answers."`
	RequireReauth connectionsReauthCmd     `cmd:"" name:"require-reauth" help:"Let one serve nothing until its person signs in at Google again."`
}

type connectionsListCmd struct {
	ofOneTenant
	inJSON
	paging
	bySubject
	Status string `name:"status" enum:",active,needs_reauth,revoked,unlinked" default:"" help:"active, needs_reauth, revoked or unlinked."`
}

func (c *connectionsListCmd) Run(e *env) error {
	subject, err := c.uuid()
	if err != nil {
		return err
	}
	found := []operator.Connection{}
	if err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		found, err = o.Connections(e.ctx, t, operator.ConnectionFilter{Subject: subject, Status: connection.Status(c.Status)}, c.page())
		return err
	}); err != nil {
		return err
	}
	if n := len(found); n > 0 {
		defer c.more(e, n, found[n-1].ID.String())
	}
	return c.answer(e, notNil(found), columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "CONNECTION\tSUBJECT\tSTATUS\tDEFAULT\tCREATED\tREFRESHED\tLAST ERROR\tALIAS")
		for _, f := range found {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\t%s\t%s\t%q\n", f.ID, f.Subject, f.Status, f.Default, day(f.Created, ""), day(f.Refreshed, "never"), orDash(f.LastError != "", f.LastError), f.Alias)
		}
	}))
}

type connectionsShowCmd struct {
	ofOneTenant
	inJSON
	theID
}

func (c *connectionsShowCmd) Run(e *env) error {
	var found *operator.Connection
	if err := onOne(e, &c.ofOneTenant, c.theID, "connection", func(o *operator.Operator, t tenant.ID, id uuid.UUID) (err error) {
		found, err = o.Connection(e.ctx, t, id)
		return err
	}); err != nil {
		return err
	}
	return c.answer(e, found, columns(func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "connection\t%s\nsubject\t%s\nalias\t%q\ndefault\t%v\nstatus\t%s\ntoken group\t%s\nlast error\t%s\ngoogle scopes\t%s\ncreated\t%s\nrefreshed\t%s\nends\t%s\n",
			found.ID, found.Subject, found.Alias, found.Default, found.Status, found.TokenGroup, orDash(found.LastError != "", found.LastError),
			strings.Join(found.GoogleScopes, " "), day(found.Created, ""), day(found.Refreshed, "never"), day(found.RefreshExpires, "by itself never"))
	}))
}

type connectionsDisconnectCmd struct {
	ofOneTenant
	inJSON
	theID
}

func (c *connectionsDisconnectCmd) Run(e *env) error {
	if err := onOne(e, &c.ofOneTenant, c.theID, "linked connection", func(o *operator.Operator, t tenant.ID, id uuid.UUID) error { return o.Disconnect(e.ctx, t, id) }); err != nil {
		return err
	}
	return c.say(e, did{c.ID, "disconnected"}, "disconnected; the servers withdraw the access at Google")
}

type connectionsReauthCmd struct {
	ofOneTenant
	inJSON
	theID
}

func (c *connectionsReauthCmd) Run(e *env) error {
	if err := onOne(e, &c.ofOneTenant, c.theID, "linked connection", func(o *operator.Operator, t tenant.ID, id uuid.UUID) error { return o.RequireReauth(e.ctx, t, id) }); err != nil {
		return err
	}
	return c.say(e, did{c.ID, "marked"}, "it serves nothing until its person signs in at Google again")
}
