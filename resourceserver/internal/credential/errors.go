package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/tool"
)

// ToolError maps what Get, Renew and Verify return to what a tool answers
// (DESIGN §6). Where the HTTP level has a better answer (401, 403, 500) it asks
// the guard for it; the tool error then serves only if the response was begun.
func ToolError(ctx context.Context, err error) error {
	var e *exchange.Error
	if !errors.As(err, &e) {
		return err
	}
	// The description is the authorization server's; the log gets the code and
	// the cause of transport failures.
	cause := fmt.Errorf("exchanging token: %s %s", e.Code, e.Reason)
	if e.Cause != nil {
		cause = fmt.Errorf("%w: %w", cause, e.Cause)
	}
	switch e.Code {
	case oauth.InteractionRequired:
		return interaction(e, cause)
	case exchange.AccountSelectionRequired:
		out := &tool.Error{Code: tool.CodeAccountSelection, Message: "Several Google accounts are connected, or none has this handle.", Cause: cause,
			NextAction: "Ask the person which account to use and pass its handle as account."}
		for _, a := range e.Accounts {
			out.Accounts = append(out.Accounts, tool.Choice{Handle: a.Handle, Label: label(a)})
		}
		return out
	case oauth.InsufficientScope:
		required, _ := oauth.ParseScopes(e.Scope)
		if t := tool.Current(ctx); t != nil {
			required = required.Union(t.Scopes) // every scope of the operation in one challenge
		}
		bearer.Refuse(ctx, bearer.InsufficientScope(required))
		return &tool.Error{Code: tool.CodeInsufficientScope, Message: "The app was not given the access this needs.", NextAction: "Allow it in the app and call again.", Cause: cause}
	case oauth.InvalidGrant:
		bearer.Refuse(ctx, bearer.InvalidToken())
		return &tool.Error{Code: tool.CodeSessionEnded, Message: "The access of this app was revoked or has ended.", NextAction: "Ask the person to reconnect this server in the app.", Cause: cause}
	case oauth.TemporarilyUnavailable, oauth.SlowDown, oauth.ServerError:
		out := &tool.Error{Code: tool.CodeUnavailable, Message: "The connection to Google cannot be used right now.", Retryable: true,
			RetryAfter: time.Duration(e.RetryAfter) * time.Second, NextAction: "Try again shortly. Signing in again does not help.", Cause: cause}
		if e.Code == oauth.SlowDown {
			out.Code, out.Message = tool.CodeRateLimited, "Too many requests were made."
		}
		if e.Code == oauth.ServerError {
			out.Code, out.Retryable, out.NextAction = tool.CodeMisconfigured, false, "Tell whoever runs this server."
		}
		return out
	default: // invalid_target, unauthorized_client, invalid_client and what nobody foresaw
		bearer.Refuse(ctx, bearer.Misconfigured())
		return &tool.Error{Code: tool.CodeMisconfigured, Message: "The server is not set up correctly.", NextAction: "Tell whoever runs this server.", Cause: cause}
	}
}

// reconnect is the advice when the exchange gave no link.
const reconnect = "Ask the person to disconnect and reconnect this server in the app, and to allow the Google access it asks for."

func interaction(e *exchange.Error, cause error) *tool.Error {
	out := &tool.Error{Link: e.InteractionURI, MissingScopes: e.MissingScopes, NextAction: reconnect, Cause: cause}
	if out.Link != "" {
		out.NextAction = "Ask the person to open this page and connect Google; then call again:"
	}
	switch e.Reason {
	case exchange.NotLinked:
		out.Code, out.Message = tool.CodeNotConnected, "No Google account is connected."
	case exchange.MissingGoogleScopes:
		out.Code, out.Message = tool.CodeMissingScopes, "The Google account has not granted the access this needs."
	case exchange.TestingExpired:
		out.Code, out.Message = tool.CodeTestingExpired, "Google ended the connection because the app is in testing: it has to be renewed every seven days."
	case exchange.AdminPolicyBlocked:
		out.Code, out.Message = tool.CodeAdminPolicy, "The administrator of the Google account asks for a new sign-in or does not allow this."
	default:
		out.Code, out.Message = tool.CodeReconnect, "The connection to Google has ended."
	}
	return out
}

// label is how the person knows an account.
func label(a exchange.Account) string {
	switch {
	case a.Alias != "" && a.MaskedEmail != "":
		return a.Alias + " (" + a.MaskedEmail + ")"
	case a.Alias != "":
		return a.Alias
	case a.MaskedEmail != "":
		return a.MaskedEmail
	}
	return a.Handle
}
