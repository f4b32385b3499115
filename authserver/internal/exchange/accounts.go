package exchange

import (
	"context"
	"errors"
	"strings"

	"latchkey/authserver/internal/connection"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

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
	for _, c := range found.Connections {
		email, err := connection.Email(ctx, h.Vault, c)
		if err != nil {
			return nil, unavailable(err)
		}
		e.Accounts = append(e.Accounts, exchange.Account{Handle: c.Handle(), Alias: c.Alias, MaskedEmail: mask(email)})
	}
	return nil, e
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
