package app

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/progress"
	"latchkey/authserver/internal/revocation"
)

type revokeCmd struct {
	config.Database
	All     bool   `name:"all" xor:"whose" required:"" help:"Everybody's access, in every tenant."`
	Tenant  string `name:"tenant" xor:"whose" required:"" help:"Everybody's access in a tenant, or of it only what --subject and --client name." placeholder:"SLUG"`
	Resume  bool   `name:"resume" xor:"whose" required:"" help:"Go on with every revocation that is not done; the servers do so too."`
	Subject string `name:"subject" help:"One person's access: their id here, the sub of their access tokens." placeholder:"ID"`
	Client  string `name:"client" help:"One client's access." placeholder:"ID"`
	Google  bool   `name:"google" help:"Disconnect the Google accounts too, and withdraw the access at Google: people must connect them again."`
	DryRun  bool   `name:"dry-run" help:"Count, and change nothing."`
	Confirm bool   `name:"confirm" help:"Do it: this cannot be undone, people have to allow their apps again."`
	JSON    bool   `name:"json" help:"Progress as JSON lines on standard error, the result as JSON."`
}

// revoked is the result of a job, and how far it is.
type revoked struct {
	Job         string    `json:"job"`
	Cutoff      time.Time `json:"cutoff"` // what was granted up to it has ended
	State       string    `json:"state"`  // running or done
	Rows        int64     `json:"rows_found"`
	Grants      int64     `json:"grants"`
	Sessions    int64     `json:"sessions"`
	Connections int64     `json:"connections"`
}

func revokedOf(j *revocation.Job) revoked {
	out := revoked{Job: j.ID.String(), Cutoff: j.Cutoff.UTC(), State: "running", Rows: j.Total, Grants: j.Done.Grants, Sessions: j.Done.Sessions, Connections: j.Done.Connections}
	if !j.Finished.IsZero() {
		out.State = "done"
	}
	return out
}

// Run tells what would end, or ends it.
func (c *revokeCmd) Run(e *env) error {
	db, err := openDB(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	r := &revocation.Revoker{Store: db}
	if c.Resume {
		if c.DryRun || c.Subject != "" || c.Client != "" || c.Google {
			return errors.New("--resume goes on with what was begun, and takes none of --subject, --client, --google and --dry-run")
		}
		return c.resume(e, r)
	}
	s, err := c.selector(e, db)
	if err != nil {
		return err
	}
	if c.DryRun || !c.Confirm {
		return c.count(e, r, s)
	}
	job, begun, err := r.Begin(e.ctx, s)
	if err != nil {
		return err
	}
	if !c.JSON {
		since := job.Cutoff.UTC().Format(time.RFC3339Nano)
		if begun {
			_, _ = fmt.Fprintf(e.errOut, "nothing that was granted up to %s is served any more; resource servers refuse its tokens within 10 seconds. Revocation %s marks the rows:\n", since, job.ID)
		} else {
			_, _ = fmt.Fprintf(e.errOut, "going on with revocation %s of what was granted up to %s. What was granted since stays: run this again afterwards to end it too\n", job.ID, since)
		}
	}
	return c.run(e, r, job.ID)
}

// selector reads the flags.
func (c *revokeCmd) selector(e *env, db *postgres.DB) (s revocation.Selector, err error) {
	s.Client, s.Google = c.Client, c.Google
	if c.Subject != "" {
		if s.Subject, err = uuid.Parse(c.Subject); err != nil {
			return s, errors.New("--subject is no id of a person")
		}
	}
	if !c.All {
		tenants, err := db.TenantIDs(e.ctx)
		if err != nil {
			return s, err
		}
		t, found := tenants[c.Tenant]
		if !found {
			return s, fmt.Errorf("there is no tenant %q: authserver tenants list shows them", c.Tenant)
		}
		s.Tenant = t
	}
	return s, s.Check()
}

// count tells what would end. Without --dry-run it asks for the confirmation.
func (c *revokeCmd) count(e *env, r *revocation.Revoker, s revocation.Selector) error {
	affected, err := r.Count(e.ctx, s)
	if err != nil {
		return err
	}
	if c.JSON {
		if affected == nil {
			affected = []revocation.Affected{}
		}
		err = printJSON(e.out, affected)
	} else {
		table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "TENANT\tGRANTS\tSESSIONS\tGOOGLE ACCOUNTS")
		var all revocation.Affected
		for _, a := range affected {
			all.Grants, all.Sessions, all.Connections = all.Grants+a.Grants, all.Sessions+a.Sessions, all.Connections+a.Connections
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", a.Tenant, a.Grants, a.Sessions, a.Connections)
		}
		_, _ = fmt.Fprintf(table, "all\t%d\t%d\t%d\n", all.Grants, all.Sessions, all.Connections)
		err = table.Flush()
	}
	if err != nil || c.DryRun {
		return err
	}
	return errors.New("nothing was changed: this ends what is listed, for good; confirm it with --confirm")
}

func (c *revokeCmd) resume(e *env, r *revocation.Revoker) error {
	open, err := r.Open(e.ctx)
	if err != nil {
		return err
	}
	if len(open) == 0 && !c.JSON {
		_, err = fmt.Fprintln(e.out, "every revocation is done")
		return err
	}
	for _, id := range open {
		if err := c.run(e, r, id); err != nil {
			return err
		}
	}
	return nil
}

// run works on a job, or watches who does, until it is done.
func (c *revokeCmd) run(e *env, r *revocation.Revoker, id uuid.UUID) error {
	bar := progress.New(e.errOut, "revoking", c.JSON)
	job, err := r.Run(e.ctx, id, func(j *revocation.Job) { bar.Report(stepOf(j)) })
	if job != nil {
		bar.End(stepOf(job))
	}
	if err != nil {
		return fmt.Errorf("%w\nWhat was granted up to the revocation's time stays refused; the same command, authserver revoke --resume or any server goes on with marking the rows of %s", err, id)
	}
	if c.JSON {
		return printJSON(e.out, revokedOf(job))
	}
	_, err = fmt.Fprintf(e.out, "revocation %s is done: %s ended\n", id, counted(job))
	return err
}

func stepOf(j *revocation.Job) progress.Step {
	return progress.Step{Done: j.Done.Sum(), Total: j.Total, Text: fmt.Sprintf("%d of %d rows: %s ended", j.Done.Sum(), j.Total, counted(j)), Machine: revokedOf(j)}
}

func counted(j *revocation.Job) string {
	parts := []string{fmt.Sprintf("%d grants", j.Done.Grants)}
	if j.Selector.Client == "" {
		parts = append(parts, fmt.Sprintf("%d sessions", j.Done.Sessions))
	}
	if j.Selector.Google {
		parts = append(parts, fmt.Sprintf("%d connections to Google", j.Done.Connections))
	}
	return strings.Join(parts, ", ")
}
