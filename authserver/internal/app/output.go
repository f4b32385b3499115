package app

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
)

// inJSON is the flag of commands that answer in text, or in JSON for programs.
type inJSON struct {
	JSON bool `name:"json" help:"JSON instead of text."`
}

// answer writes a value as JSON, or what text writes.
func (c inJSON) answer(e *env, value any, text func(w io.Writer) error) error {
	if c.JSON {
		return printJSON(e.out, value)
	}
	return text(e.out)
}

// say is answer with one sentence.
func (c inJSON) say(e *env, value any, format string, args ...any) error {
	return c.answer(e, value, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		return err
	})
}

// did is the JSON of a command that has nothing to tell but what it did.
type did struct {
	ID  string `json:"id,omitempty"`
	Did string `json:"did"`
}

// columns is a table for answer.
func columns(rows func(w io.Writer)) func(w io.Writer) error {
	return func(w io.Writer) error {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		rows(table)
		return table.Flush()
	}
}

// paging are the flags of lists.
type paging struct {
	Limit int    `name:"limit" default:"100" help:"At most so many, up to 200."`
	After string `name:"after" help:"The next page, as the end of the last one says." placeholder:"ID"`
}

func (p paging) page() operator.Page { return operator.Page{After: p.After, Limit: p.Limit} }

// more says on standard error how the list goes on, if it may.
func (p paging) more(e *env, n int, last string) {
	if n == p.Limit {
		_, _ = fmt.Fprintf(e.errOut, "there may be more: --after %s\n", last)
	}
}

// operate opens the database and calls f with the operator of one tenant's rows.
func (c *ofOneTenant) operate(e *env, f func(o *operator.Operator, t tenant.ID) error) error {
	return c.in(e, func(db *postgres.DB, t tenant.ID) error { return f(&operator.Operator{Store: db, Now: now}, t) })
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

// notNil makes an empty list of none, which JSON tells apart.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
