package account

import (
	"errors"
	"net/http"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// errOtherAccount: Google named another account than the one to be repaired.
var errOtherAccount = errors.New("another Google account came back")

// Leading makes the error pages of a person's forms and links lead to the person's
// own page.
func Leading(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		return leading(tenant.FromContext(r.Context()), h(w, r))
	}
}

func leading(t *tenant.Tenant, err error) error {
	var page *web.PageError
	if !errors.As(err, &page) {
		return err
	}
	led := *page
	led.Account = t.Issuer.Path() + Path
	return &led
}

// recorded is a continuation whose refusals are in the audit trail, as kind:
// somebody tried to sign in, or to change whose mail a person's apps read. Trouble
// is no refusal. What cannot be recorded is answered as trouble.
func (h *Handler) recorded(kind audit.Kind, next signin.Continuation) signin.Continuation {
	return func(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, o *signin.Outcome) error {
		err := next(w, r, t, o)
		err = leading(t, err)
		var page *web.PageError
		if !errors.As(err, &page) || page.Status >= http.StatusInternalServerError {
			return err
		}
		var trip linkTrip // of a sign-in: nobody
		if malformed := o.Decode(&trip); malformed != nil {
			return malformed
		}
		e := audit.Event{Tenant: t.ID, Kind: kind, Outcome: string(oauth.AccessDenied), Subject: trip.Subject, Connection: trip.Connection}
		e.Actor, e.Detail = refusal(o, page)
		if failed := h.Store.Record(r.Context(), e); failed != nil {
			return oauth.Unavailable(failed)
		}
		return err
	}
}

// refusal says on whose word a trip came to nothing, and why.
func refusal(o *signin.Outcome, page *web.PageError) (audit.Actor, string) {
	switch {
	case o.Failure != nil && o.Failure.Cause == nil:
		return audit.Person, "at google"
	case errors.Is(page, signin.ErrDomain):
		return audit.Google, "domain_not_allowed"
	case o.Failure != nil:
		return audit.Google, "refused_by_google"
	case errors.Is(page, errOtherAccount):
		return audit.Google, "another_account"
	case errors.Is(page, connection.ErrTooMany):
		return audit.Person, "too_many_accounts"
	case page.Status == http.StatusNotFound:
		return audit.Person, "account_disconnected"
	}
	return audit.Person, "not_signed_in"
}
