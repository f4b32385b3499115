package exchange

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// listing is the scope that entitles to the list of accounts.
const listing = "accounts"

// choose resolves the account: the one named by handle or alias, else the one
// that the person chose when they allowed the app. Another one never takes its
// place unasked, not even the person's default (decision 0011). Somebody else's
// account is never found, because only the subject's linked connections were
// read.
func (h *Handler) choose(ctx context.Context, found *Found, account string) (*connection.Record, error) {
	for _, c := range found.Connections {
		if account == "" && c.Connection == found.GrantConnection || account != "" && (c.Handle() == account || strings.EqualFold(c.Alias, account)) {
			return c, nil
		}
	}
	if len(found.Connections) == 0 {
		e := fail(oauth.InteractionRequired, "No Google account is connected.")
		e.Reason = exchange.NotLinked
		return nil, e
	}
	e := fail(exchange.AccountSelectionRequired, "No connected account has this handle or name.")
	if account == "" {
		e.Description = "The account that was chosen for this app is not connected any more."
	}
	var err error
	if e.Accounts, err = h.accounts(ctx, found); err != nil {
		return nil, err
	}
	return nil, e
}

// account is the one that a request names, if the tenant admits it: in act, so that a
// refusal is recorded with it, and in the log. Where the person can repair what stands in
// the way, the error has a link, for the Google scopes.
func (h *Handler) account(ctx context.Context, p *person, name, tool string, scopes oauth.Scopes, act *audit.Event) (*connection.Record, error) {
	record, err := h.choose(ctx, p.found, name)
	if err != nil {
		ref := connection.Ref{Tenant: p.tenant.ID, Subject: p.subject}
		return nil, h.withLink(ctx, err, connection.Invitation{Ref: ref, ClientID: p.who.ClientID, Scopes: scopes})
	}
	act.Connection = record.Connection
	httpx.Annotate(ctx, slog.String("tenant", p.tenant.ID.String()), slog.String("subject", p.who.Subject), slog.String("client", p.who.ClientID),
		slog.String("tool", tool), slog.String("connection", record.Connection.String()))
	if !p.tenant.AdmitsDomain(ctx, record.HostedDomain, p.who.ClientID) {
		return nil, blocked("This Google account is not one of the organisation's.")
	}
	return record, nil
}

// accounts are those to choose from.
func (h *Handler) accounts(ctx context.Context, found *Found) ([]exchange.Account, error) {
	out := []exchange.Account{}
	for _, c := range found.Connections {
		email, err := connection.Email(ctx, h.Vault, c)
		if err != nil {
			return nil, unavailable(err)
		}
		out = append(out, exchange.Account{Handle: c.Handle(), Alias: c.Alias, MaskedEmail: mask(email)})
	}
	return out, nil
}

// Accounts answers the list of the person's linked accounts, by the rules of an
// exchange (DESIGN §6): the caller, the token, the tenant, the grant. The token must
// carry the scope accounts. Nothing is handed out that an exchange without a choice
// would not name, so the trail has no event of it.
func (h *Handler) Accounts(w http.ResponseWriter, r *http.Request) {
	out, err := h.list(w, r)
	if err != nil {
		render(w, r, err)
		return
	}
	out.Write(w)
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) (*exchange.Accounts, error) {
	ctx := r.Context()
	req, caller, err := requested(h, w, r, exchange.AccountsPath, exchange.ParseAccountsForm)
	if err != nil {
		return nil, err
	}
	p, err := h.person(ctx, caller, req.SubjectToken, req.Tool, &audit.Event{}, func(t *tenant.Tenant, who *accesstoken.Principal) (oauth.Scopes, error) {
		allowed, err := admit(ctx, t, who, oauth.Scopes{})
		if err == nil && !scope.Satisfies(allowed, oauth.NewScopes(listing)) {
			e := fail(oauth.InsufficientScope, "The access token does not carry the scope for this.")
			e.Scope, err = listing, e
		}
		return allowed, err
	})
	if err != nil {
		return nil, err
	}
	httpx.Annotate(ctx, slog.String("tenant", p.tenant.ID.String()), slog.String("subject", p.who.Subject), slog.String("client", p.who.ClientID), slog.String("tool", req.Tool))
	list, err := h.accounts(ctx, p.found)
	if err != nil {
		return nil, err
	}
	for i, c := range p.found.Connections {
		list[i].Chosen, list[i].Ended = c.Connection == p.found.GrantConnection, c.Status != connection.Active
	}
	return &exchange.Accounts{Accounts: list}, nil
}

// mask leaves so much of an address that its person knows it: it goes to a
// program, for a list to choose from.
func mask(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at <= 0 {
		return ""
	}
	first := []rune(email[:at])[0]
	return string(first) + "***" + email[at:]
}

// withLink adds a link to an error that a person can repair. Without one the
// error is as true as before, so a link that cannot be made fails nothing.
func (h *Handler) withLink(ctx context.Context, err error, i connection.Invitation) error {
	var e *exchange.Error
	if !errors.As(err, &e) || e.Code != oauth.InteractionRequired || e.InteractionURI != "" {
		return err
	}
	i.Reason = string(e.Reason)
	if len(e.MissingScopes) > 0 {
		i.Scopes = oauth.NewScopes(e.MissingScopes...)
	}
	link, linkErr := h.Links.Link(ctx, i)
	if linkErr != nil {
		h.Log.WarnContext(ctx, "an interaction has no link", "error", linkErr)
		return err
	}
	e.InteractionURI = link
	return err
}
