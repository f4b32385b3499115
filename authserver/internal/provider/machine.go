package provider

import (
	"context"
	"errors"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/pkg/oauth"
)

// machine is what a client gets for itself (client_credentials): no person
// stands behind it, so no Google account does.
type machine struct{ resource oauth.Resource }

// admitMachine decides a client_credentials request (OAuth 2.1 §4.2): only for a
// client that the operator registered with that grant and that proved itself by
// a credential. A client that registered itself is nobody's machine.
func (w *work) admitMachine(ctx context.Context, proof *clientauth.Proof) error {
	c := w.client
	if c.Kind != client.Static || !proof.Confidential() || !c.Allows(oauth.GrantClientCredentials) {
		return oauth.NewError(oauth.UnauthorizedClient, "This client may not use client_credentials. The operator registers clients for it.")
	}
	allowed, err := oauth.ParseScopes(c.Scope)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if w.scopes = w.request.scopes; w.scopes.Empty() {
		w.scopes = allowed
	}
	if w.request.unknown || !allowed.ContainsAll(w.scopes) || w.scopes.Empty() {
		return oauth.NewError(oauth.InvalidScope, "This client is not registered for the requested scopes.")
	}
	if w.scopes = w.tenant.Permitted(ctx, w.scopes, c.ID); w.scopes.Empty() {
		return oauth.NewError(oauth.InvalidScope, "The organisation allows none of these scopes.")
	}
	w.machine = &machine{resource: w.request.resource}
	if w.machine.resource.IsZero() {
		if w.machine.resource, err = w.tenant.Resource(""); err != nil {
			return oauth.NewError(oauth.InvalidTarget, "Name the resource: this server serves more than one.")
		}
	}
	if w.assertion == nil {
		return nil
	}
	// Nothing is claimed here that the assertion could be used up with.
	err = w.store.BurnAssertion(ctx, w.tenant.ID, w.assertion)
	if errors.Is(err, client.ErrAssertionUsed) {
		return clientauth.Replayed(err)
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}
