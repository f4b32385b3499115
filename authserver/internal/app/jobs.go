package app

import (
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
)

type jobsCmd struct {
	List jobsListCmd `cmd:"" help:"List rewraps and verifications of a tenant that the admin API has begun in the last month, newest first, and why one failed."`
}

type jobsListCmd struct {
	ofOneTenant
	inJSON
}

// maxJobs bounds the list.
const maxJobs = 100

// jobInfo is a job in the list.
type jobInfo struct {
	ID       uuid.UUID   `json:"id"`
	Kind     job.Kind    `json:"kind"`
	State    job.State   `json:"state"`
	Begun    time.Time   `json:"begun_at"`
	Finished time.Time   `json:"finished_at,omitzero"`
	Actor    string      `json:"actor"`
	Attempts int         `json:"attempts"`
	KEK      string      `json:"kek,omitempty"`
	Failure  job.Failure `json:"failure,omitempty"`
	Detail   string      `json:"failure_detail,omitempty"`
}

func (c *jobsListCmd) Run(e *env) error {
	found := []jobInfo{}
	if err := c.in(e, func(db *postgres.DB, t tenant.ID) error {
		list, err := db.RecentJobs(e.ctx, t, maxJobs)
		for _, j := range list {
			found = append(found, jobInfo{j.ID, j.Kind, j.State(), j.Begun, j.Finished, string(j.Actor), j.Attempts, j.KEK, j.Failure, j.Failure.Text()})
		}
		return err
	}); err != nil {
		return err
	}
	return c.answer(e, found, columns(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "JOB\tKIND\tSTATE\tBEGUN\tFINISHED\tATTEMPTS\tBY\tWHY")
		for _, j := range found {
			why := string(j.Failure)
			if why != "" {
				why += ": " + j.Detail
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", j.ID, j.Kind, j.State, j.Begun.Format(time.RFC3339), day(j.Finished, "-"), j.Attempts, j.Actor, why)
		}
	}))
}
