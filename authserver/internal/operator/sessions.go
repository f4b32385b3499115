package operator

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
)

// Session is a browser in which a person is signed in here. One that has no end
// yet also ends by itself, when it is unused or old.
type Session struct {
	ID      uuid.UUID `json:"id"`
	Subject uuid.UUID `json:"subject"`
	Browser string    `json:"browser"` // in words
	Created time.Time `json:"created_at"`
	Used    time.Time `json:"last_used_at"`
	Ended   time.Time `json:"ended_at,omitzero"`
}

// SessionFilter narrows a list; its zero value does not.
type SessionFilter struct {
	Subject uuid.UUID
}

// Sessions returns a page of sessions in the order of ids, which is that of time.
func (o *Operator) Sessions(ctx context.Context, t tenant.ID, f SessionFilter, p Page) ([]Session, error) {
	after, err := p.uuid()
	if err != nil {
		return nil, err
	}
	return o.Store.OperatorSessions(ctx, t, f, after, p.Limit)
}

// EndSession ends one session; ending twice is no error. It returns ErrNotFound.
func (o *Operator) EndSession(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	return o.Store.OperatorEndSession(ctx, t, id)
}

// EndSessions signs a person out everywhere and returns how many sessions ended.
func (o *Operator) EndSessions(ctx context.Context, t tenant.ID, subject uuid.UUID) (int64, error) {
	return o.Store.OperatorEndSessions(ctx, t, subject)
}
