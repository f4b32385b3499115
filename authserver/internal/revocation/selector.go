package revocation

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
)

// Reason is the revoked_reason of a grant that a job ended, and the beginning of
// its event's detail; the id of the job follows there.
const Reason = "mass_revocation"

// maxClient bounds a client id, which may be the URL of a metadata document.
const maxClient = 2048

// Selector says whose grants end. The zero value is everybody's of every tenant.
type Selector struct {
	Tenant  tenant.ID // zero: every tenant
	Subject uuid.UUID // uuid.Nil: every person; needs a tenant
	Client  string    // "": every client; needs a tenant
	// Google disconnects the Google accounts too: those of the person or the
	// people, and with a client those with which its grants were made. An account
	// serves every app, so the grants of other apps with it end as well.
	Google bool
}

// ErrSelector refuses a selector that names a person or client of no tenant.
var ErrSelector = errors.New("a person or a client belongs to a tenant: name it")

// Check refuses what cannot be meant.
func (s Selector) Check() error {
	switch {
	case s.Tenant.IsZero() && (s.Subject != uuid.Nil || s.Client != ""):
		return ErrSelector
	case len(s.Client) > maxClient:
		return errors.New("the client id is too long")
	}
	return nil
}

// Stage is what a job does with a tenant's rows, in this order.
type Stage string

const (
	Grants      Stage = "grants"
	Sessions    Stage = "sessions"
	Connections Stage = "connections"
	Done        Stage = "done"
)

// After is the stage that follows one. Sessions are the browsers' and of no
// client; connections stay unless they are asked for.
func (s Selector) After(stage Stage) Stage {
	switch {
	case stage == Grants && s.Client == "":
		return Sessions
	case stage != Connections && s.Google:
		return Connections
	}
	return Done
}

// Affected is how much of a tenant is, or was, ended.
type Affected struct {
	Tenant      string `json:"tenant"` // slug
	Grants      int64  `json:"grants"`
	Sessions    int64  `json:"sessions"`
	Connections int64  `json:"connections"` // Google accounts
}

// Sum is the number of rows.
func (a Affected) Sum() int64 { return a.Grants + a.Sessions + a.Connections }

func (a Affected) plus(b Batch) Affected {
	switch b.Stage {
	case Grants:
		a.Grants += b.Rows
	case Sessions:
		a.Sessions += b.Rows
	case Connections:
		a.Connections += b.Rows
	}
	return a
}

// Job is a revocation under way or done.
type Job struct {
	ID       uuid.UUID
	Selector Selector
	Cutoff   time.Time // what was granted up to and including it ends
	Actor    audit.Actor
	Request  string    // id of the request that began it
	Finished time.Time // zero: not yet
	Tenants  int64     // that it is about
	Left     int64     // tenants that are not done
	Total    int64     // rows that were counted when it began; 0: not counted yet
	Done     Affected  // rows so far; no tenant
}

// Part is what a job does in one tenant.
type Part struct {
	Job    *Job
	Tenant tenant.ID
}

// Batch is what one step of a part has done.
type Batch struct {
	Stage    Stage // of the rows
	Rows     int64
	Waiting  bool // others hold the rows that are left: try again in a moment
	Finished bool // nothing is left of the part
}
