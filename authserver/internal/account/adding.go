package account

import (
	"net/http"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// Add serves POST /account/add: a further Google account, or a disconnected one
// again, for what the person ticks.
func (h *Handler) Add(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	limit, _ := q.t.ScopeLimit()
	chosen := consent.Selected(limit, q.form["scope"])
	if chosen.Empty() {
		return &web.PageError{Status: http.StatusBadRequest, Title: "Nothing was chosen", Advice: "No account was added. Go back and tick what apps may do with it."}
	}
	var hint string
	if q.form.Get("account") != "" { // connect again
		ref, err := q.ref()
		if err != nil {
			return err
		}
		record, err := h.Linker.Connection(r.Context(), ref)
		if err != nil {
			return noAccount(err)
		}
		if hint, err = connection.Email(r.Context(), h.Vault, record); err != nil {
			return oauth.Unavailable(err)
		}
	}
	return h.toLink(w, r, q.t, linkTrip{Subject: q.s.Subject, Scopes: scope.GoogleFor(chosen).Slice()}, hint)
}

// Repair serves POST /account/repair: the account signs in at Google again, for
// what it was allowed before and what the apps that use it need.
func (h *Handler) Repair(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	ref, err := q.ref()
	if err != nil {
		return err
	}
	record, err := h.known(r.Context(), ref)
	if err != nil {
		return err
	}
	o, err := h.Store.Account(r.Context(), q.t.ID, q.s.Subject, lifeOf(q.t))
	if err != nil {
		return oauth.Unavailable(err)
	}
	var need oauth.Scopes
	limit, _ := q.t.ScopeLimit()
	for _, g := range o.Grants {
		if g.Connection == record.Connection {
			need = need.Union(scope.GoogleFor(g.Scopes.Union(g.LeftOut).Intersect(limit)))
		}
	}
	return h.toRelink(w, r, q.t, record, need, linkTrip{OfPerson: true})
}
