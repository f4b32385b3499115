package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
)

type grantsCmd struct {
	List   grantsListCmd   `cmd:"" help:"List what people allowed to apps."`
	Show   grantsShowCmd   `cmd:"" help:"Show one."`
	Revoke grantsRevokeCmd `cmd:"" help:"End one: its refresh token at once, its access tokens within 10 s."`
}

type grantsListCmd struct {
	ofOneTenant
	inJSON
	paging
	bySubject
	Client string `name:"client" help:"Of this client." placeholder:"ID"`
	Status string `name:"status" enum:",pending,live,expired,revoked" default:"" help:"pending, live, expired or revoked."`
}

func (c *grantsListCmd) Run(e *env) error {
	subject, err := c.uuid()
	if err != nil {
		return err
	}
	var found []operator.Grant
	if err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		found, err = o.Grants(e.ctx, t, operator.GrantFilter{Subject: subject, Client: c.Client, Status: operator.GrantStatus(c.Status)}, c.page())
		return err
	}); err != nil {
		return err
	}
	if n := len(found); n > 0 {
		defer c.more(e, n, found[n-1].ID.String())
	}
	return c.answer(e, notNil(found), columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "GRANT\tSUBJECT\tSTATUS\tCREATED\tLAST USED\tENDS\tCLIENT\tSCOPES")
		for _, f := range found {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.ID, f.Subject, f.Status, day(f.Created, ""), day(f.Used, "never"), day(f.Expires, ""), f.Client, strings.Join(f.Scopes, " "))
		}
	}))
}

type grantsShowCmd struct {
	ofOneTenant
	inJSON
	theID
}

func (c *grantsShowCmd) Run(e *env) error {
	var found *operator.Grant
	if err := onOne(e, &c.ofOneTenant, c.theID, "grant", func(o *operator.Operator, t tenant.ID, id uuid.UUID) (err error) {
		found, err = o.Grant(e.ctx, t, id)
		return err
	}); err != nil {
		return err
	}
	return c.answer(e, found, columns(func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "grant\t%s\nclient\t%s\nsubject\t%s\nconnection\t%s\nresource\t%s\nscopes\t%s\noffline\t%v\nstatus\t%s %s\ncreated\t%s\nlast used\t%s\nends\t%s\n",
			found.ID, found.Client, found.Subject, found.Connection, found.Resource, strings.Join(found.Scopes, " "), found.Offline, found.Status, found.RevokedReason,
			day(found.Created, ""), day(found.Used, "never"), day(found.Expires, ""))
	}))
}

type grantsRevokeCmd struct {
	ofOneTenant
	inJSON
	theID
}

func (c *grantsRevokeCmd) Run(e *env) error {
	if err := onOne(e, &c.ofOneTenant, c.theID, "grant", func(o *operator.Operator, t tenant.ID, id uuid.UUID) error { return o.Revoke(e.ctx, t, id) }); err != nil {
		return err
	}
	return c.say(e, did{c.ID, "revoked"}, "revoked; resource servers refuse its access tokens within 10 s")
}
