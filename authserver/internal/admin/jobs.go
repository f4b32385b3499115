package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/web"
)

// jobRoutes are about long work: begun by one request, asked about by others. Any
// server does it.
func (a *API) jobRoutes() []*Route {
	begin := func(kind job.Kind, limit ratelimit.Name) func(*call) error {
		return plain(func(c *call) error {
			// What is under way is answered as often as anybody asks.
			j, err := a.Jobs.Running(c.ctx(), kind, c.tenant)
			if errors.Is(err, job.ErrNotFound) {
				if err = a.Limits.Admit(c.ctx(), c.tenant, limit); err == nil {
					j, err = a.Jobs.Begin(c.ctx(), kind, c.tenant)
				}
			}
			if err != nil {
				return err
			}
			web.WriteJSON(c.w, http.StatusAccepted, workOf(j))
			return nil
		})
	}
	show := func(name string, kind job.Kind) func(*call) error {
		return named(name, func(c *call, id uuid.UUID) error {
			j, err := a.Jobs.Status(c.ctx(), kind, id)
			if err == nil && j.Tenant != c.tenant {
				err = job.ErrNotFound
			}
			if err != nil {
				return err
			}
			return c.answer(workOf(j))
		})
	}
	return []*Route{
		{Method: "POST", Path: "/tenants/{tenant}/data-keys/rewrap", Scope: KeysWrite, serve: begin(job.Rewrap, ratelimit.RewrapTenant)},
		{Method: "GET", Path: "/tenants/{tenant}/data-keys/rewrap/{rewrap}", Scope: KeysRead, serve: show("rewrap", job.Rewrap)},
		{Method: "POST", Path: "/tenants/{tenant}/audit/verify", Scope: AuditRead, serve: begin(job.Verify, ratelimit.VerifyTenant)},
		{Method: "GET", Path: "/tenants/{tenant}/audit/verify/{verification}", Scope: AuditRead, serve: show("verification", job.Verify)},
	}
}

// work is a job and how far it is: of a rewrap its progress, of a verification the
// report when it is finished.
type work struct {
	ID       uuid.UUID       `json:"id"`
	State    job.State       `json:"state"`
	Begun    time.Time       `json:"begun_at"`
	Finished time.Time       `json:"finished_at,omitzero"`
	Attempts int             `json:"attempts"`
	Failure  *failure        `json:"failure,omitempty"`
	KEK      string          `json:"kek,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"`
	Report   json.RawMessage `json:"report,omitempty"`
}

// failure is why the last attempt failed, or why nobody takes the job.
type failure struct {
	Code   job.Failure `json:"code"`
	Detail string      `json:"detail"`
}

func workOf(j *job.Job) *work {
	w := &work{ID: j.ID, State: j.State(), Begun: j.Begun, Finished: j.Finished, Attempts: j.Attempts, KEK: j.KEK}
	if j.Failure != "" {
		w.Failure = &failure{j.Failure, j.Failure.Text()}
	}
	if j.Kind == job.Verify {
		w.Report = j.Progress
	} else {
		w.Progress = j.Progress
	}
	return w
}
