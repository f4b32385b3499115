package app

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
)

type sessionsCmd struct {
	List sessionsListCmd `cmd:"" help:"List browsers in which people are signed in."`
	End  sessionsEndCmd  `cmd:"" help:"End one, or every one of a person."`
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
