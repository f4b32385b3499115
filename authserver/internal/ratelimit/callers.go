package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
)

// Exchange asks about an exchange for a person's tool call.
func (l *Limiter) Exchange(ctx context.Context, t *tenant.Tenant, subject uuid.UUID, tool string) error {
	_, err := l.Take(ctx, t, Ask{ExchangeTool, PersonTool(subject, tool)}, Ask{ExchangePerson, Person(subject)}, Ask{ExchangeTenant, All()})
	return err
}

// FetchDocument asks about a fetch that an address has caused, of a client metadata
// document that nobody knows. It returns how long to wait, 0 to go on, and whether
// that is for what the address itself or its network did.
func (l *Limiter) FetchDocument(ctx context.Context, source string) (wait time.Duration, ofSource bool) {
	from, _ := netip.ParseAddr(source)
	around := Ask{FetchNetwork, Network(from)}
	_, err := l.Take(ctx, nil, Ask{FetchAddress, Address(from)}, around)
	if err == nil {
		_, err = l.Take(ctx, nil, Ask{l.either(FetchFresh, FetchBusy, around), All()})
	}
	var exceeded *Exceeded
	switch {
	case errors.As(err, &exceeded):
		name := exceeded.State.Limit.Name
		return exceeded.State.Retry, name == FetchAddress.String() || name == FetchNetwork.String()
	case err != nil: // the caller has left
		return time.Second, true
	}
	return 0, false
}
