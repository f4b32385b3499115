package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/web"
)

// jobRoutes are about long work: begun by one request, asked about by others. Any
// server does it.
func (a *API) jobRoutes() []*Route {
	begin := func(kind job.Kind) func(*call) error {
		return plain(func(c *call) error {
			j, err := a.Jobs.Begin(c.ctx(), kind, c.tenant)
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
		{Method: "POST", Path: "/tenants/{tenant}/data-keys/rewrap", Scope: KeysWrite, serve: begin(job.Rewrap)},
		{Method: "GET", Path: "/tenants/{tenant}/data-keys/rewrap/{rewrap}", Scope: KeysRead, serve: show("rewrap", job.Rewrap)},
		{Method: "POST", Path: "/tenants/{tenant}/audit/verify", Scope: AuditRead, serve: begin(job.Verify)},
		{Method: "GET", Path: "/tenants/{tenant}/audit/verify/{verification}", Scope: AuditRead, serve: show("verification", job.Verify)},
	}
}

// work is a job and how far it is: of a rewrap its progress, of a verification the
// report when it is finished.
type work struct {
	ID       uuid.UUID       `json:"id"`
	Begun    time.Time       `json:"begun_at"`
	Finished time.Time       `json:"finished_at,omitzero"`
	Progress json.RawMessage `json:"progress,omitempty"`
	Report   json.RawMessage `json:"report,omitempty"`
}

func workOf(j *job.Job) *work {
	w := &work{ID: j.ID, Begun: j.Begun, Finished: j.Finished}
	if j.Kind == job.Verify {
		w.Report = j.Progress
	} else {
		w.Progress = j.Progress
	}
	return w
}
