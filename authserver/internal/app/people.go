package app

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

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

type grantsCmd struct {
	List   grantsListCmd   `cmd:"" help:"List what people allowed to apps."`
	Show   grantsShowCmd   `cmd:"" help:"Show one."`
	Revoke grantsRevokeCmd `cmd:"" help:"End one: its refresh token at once, its access tokens within 10 s."`
}

type sessionsCmd struct {
	List sessionsListCmd `cmd:"" help:"List browsers in which people are signed in."`
	End  sessionsEndCmd  `cmd:"" help:"End one, or every one of a person."`
}

// now is the commands' clock.
var now = time.Now

// theID is an argument that is a UUID.
type theID struct {
	ID string `arg:"" help:"Its id, as the list has it."`
}

func (c theID) uuid() (uuid.UUID, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%q is no id: take one of the list", c.ID)
	}
	return id, nil
}

// bySubject is the filter by person.
type bySubject struct {
	Subject string `name:"subject" help:"Of this person (sub of an access token)." placeholder:"UUID"`
}

func (c bySubject) uuid() (uuid.UUID, error) {
	if c.Subject == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(c.Subject)
	if err != nil {
		return uuid.Nil, errors.New("--subject is no UUID")
	}
	return id, nil
}

// onOne does something to one thing of a tenant and says so.
func onOne(e *env, c *ofOneTenant, given theID, what string, f func(o *operator.Operator, t tenant.ID, id uuid.UUID) error) error {
	id, err := given.uuid()
	if err != nil {
		return err
	}
	err = c.operate(e, func(o *operator.Operator, t tenant.ID) error { return f(o, t, id) })
	if errors.Is(err, operator.ErrNotFound) {
		return fmt.Errorf("tenant %s has no %s %s", c.Tenant, what, id)
	}
	return err
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

// notNil makes an empty list of none, which JSON tells apart.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
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

type sessionsListCmd struct {
	ofOneTenant
	inJSON
	paging
	bySubject
}

func (c *sessionsListCmd) Run(e *env) error {
	subject, err := c.uuid()
	if err != nil {
		return err
	}
	var found []operator.Session
	if err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		found, err = o.Sessions(e.ctx, t, operator.SessionFilter{Subject: subject}, c.page())
		return err
	}); err != nil {
		return err
	}
	if n := len(found); n > 0 {
		defer c.more(e, n, found[n-1].ID.String())
	}
	return c.answer(e, notNil(found), columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "SESSION\tSUBJECT\tBEGAN\tLAST USED\tENDED\tBROWSER")
		for _, f := range found {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%q\n", f.ID, f.Subject, f.Created.Format(time.RFC3339), f.Used.Format(time.RFC3339), day(f.Ended, "-"), f.Browser)
		}
	}))
}

type sessionsEndCmd struct {
	ofOneTenant
	inJSON
	ID      string `arg:"" optional:"" help:"Its id, as the list has it."`
	Subject string `name:"subject" help:"Every session of this person instead." placeholder:"UUID"`
}

func (c *sessionsEndCmd) Run(e *env) error {
	if (c.ID == "") == (c.Subject == "") {
		return errors.New("name a session, or a person by --subject")
	}
	if c.ID != "" {
		if err := onOne(e, &c.ofOneTenant, theID{c.ID}, "session", func(o *operator.Operator, t tenant.ID, id uuid.UUID) error { return o.EndSession(e.ctx, t, id) }); err != nil {
			return err
		}
		return c.say(e, did{c.ID, "ended"}, "ended")
	}
	subject, err := bySubject{c.Subject}.uuid()
	if err != nil {
		return err
	}
	var n int64
	if err := c.operate(e, func(o *operator.Operator, t tenant.ID) (err error) {
		n, err = o.EndSessions(e.ctx, t, subject)
		return err
	}); err != nil {
		return err
	}
	return c.say(e, struct {
		Ended int64 `json:"ended"`
	}{n}, "%d sessions ended", n)
}
