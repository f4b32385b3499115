package googleapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/api/googleapi"

	"latchkey/pkg/httpx"
	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/tool"
)

func asToolError(err error) (*tool.Error, bool) {
	var e *tool.Error
	ok := errors.As(err, &e)
	return e, ok
}

const maxMessage = 300

// Error maps what a generated client returned to a typed tool error. doing says
// what was tried, for the log: "searching threads".
func Error(doing string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := asToolError(err); ok {
		return e
	}
	var g *googleapi.Error
	switch {
	case errors.As(err, &g):
		return fromGoogle(doing, g)
	case errors.Is(err, errTooLarge):
		return &tool.Error{Code: tool.CodeTooLarge, Message: "Google's answer is too large.", NextAction: "Ask for less at once.", Cause: fmt.Errorf("%s: %w", doing, errTooLarge)}
	case errors.Is(err, context.DeadlineExceeded):
		return &tool.Error{Code: tool.CodeTimeout, Message: "Google did not answer in time.", Retryable: true, NextAction: "Try again or ask for less at once.", Cause: fmt.Errorf("%s: %w", doing, context.DeadlineExceeded)}
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	// The text of a network error names the URL, whose query is the person's.
	var network interface {
		error
		Timeout() bool
	}
	kind := "transport failure"
	if errors.As(err, &network) && network.Timeout() {
		kind = "timeout"
	}
	return unavailable(fmt.Errorf("%s: %s", doing, kind))
}

func unavailable(cause error) *tool.Error {
	return &tool.Error{Code: tool.CodeUnavailable, Message: "Google cannot be reached right now.", Retryable: true, NextAction: "Try again shortly.", Cause: cause}
}

func fromGoogle(doing string, g *googleapi.Error) *tool.Error {
	var reasons []string
	for _, e := range g.Errors {
		reasons = append(reasons, e.Reason)
	}
	reasons = append(reasons, reasonsOf([]byte(g.Body))...)
	has := func(names ...string) bool {
		return slices.ContainsFunc(reasons, func(r string) bool { return slices.Contains(names, r) })
	}
	out := &tool.Error{Cause: fmt.Errorf("%s: Google answered %d %s", doing, g.Code, logged(reasons))}
	set := func(code tool.Code, message, next string) *tool.Error {
		out.Code, out.Message, out.NextAction = code, message, next
		return out
	}
	switch {
	case g.Code == http.StatusTooManyRequests || rateLimited(reasons):
		out.Retryable, out.RetryAfter = true, httpx.RetryAfter(g.Header)
		return set(tool.CodeRateLimited, "Google's limit on requests was reached.", "Wait a little and call again, with fewer or smaller requests.")
	case has("dailyLimitExceeded", "quotaExceeded"):
		out.Retryable = true
		return set(tool.CodeRateLimited, "Google's quota for today is used up.", "Try again later.")
	case g.Code >= 500:
		out.RetryAfter, out.Retryable = httpx.RetryAfter(g.Header), true
		return set(tool.CodeUnavailable, "Google has a problem right now.", "Try again shortly.")
	case g.Code == http.StatusUnauthorized:
		return set(tool.CodeReconnect, "Google no longer accepts the connection of this account.", "Ask the person to reconnect this server in the app.")
	case has("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"):
		return set(tool.CodeMissingScopes, "The Google account has not granted the access this needs.", "Ask the person to reconnect this server in the app and to allow the Google access it asks for.")
	case has("accessNotConfigured", "SERVICE_DISABLED"):
		out.Link = activation(g)
		return set(tool.CodeMisconfigured, "This Google API is not enabled for the server's Google Cloud project.", "Tell whoever runs this server to enable it in the Google Cloud console.")
	case has("domainPolicy", "adminPolicyEnforced"):
		return set(tool.CodeAdminPolicy, "The administrator of the Google account does not allow this.", "Ask the administrator.")
	case g.Code == http.StatusForbidden:
		return set(tool.CodePermissionDenied, "Google does not let this account do that.", "Check that the account has access to it.")
	case g.Code == http.StatusNotFound || g.Code == http.StatusGone:
		return set(tool.CodeNotFound, "There is no such item, or this account cannot see it.", "Check the id and the account.")
	case g.Code == http.StatusPreconditionFailed || g.Code == http.StatusConflict:
		return set(tool.CodeConflict, "It was changed by somebody else meanwhile; nothing was done.", "Read it again, and ask the person if the change is still wanted.")
	}
	return set(tool.CodeInvalidArgument, "Google refused the request: "+reason(g.Message), "Correct the arguments and call again.")
}

// activation returns the page of Google's console that enables an API, as Google
// names it in its error: in the details' metadata, or in the sentence. Any other
// address is left out: a person will be told to open it.
func activation(g *googleapi.Error) string {
	const console = "https://console.developers.google.com/apis/"
	var body struct {
		Error struct {
			Message string
			Errors  []struct{ ExtendedHelp string }
			Details []struct {
				Metadata struct{ ActivationURL string }
			}
		}
	}
	_ = json.Unmarshal([]byte(g.Body), &body)
	var candidates []string
	for _, d := range body.Error.Details {
		candidates = append(candidates, d.Metadata.ActivationURL)
	}
	for _, e := range body.Error.Errors {
		candidates = append(candidates, e.ExtendedHelp)
	}
	for _, c := range append(candidates, strings.Fields(body.Error.Message)...) {
		u, err := url.Parse(c)
		if err == nil && strings.HasPrefix(c, console) && u.Fragment == "" && len(c) <= maxMessage {
			return c
		}
	}
	return ""
}

// logged keeps only words that look like Google's own reason codes.
func logged(reasons []string) string {
	var out []string
	for _, r := range slices.Compact(reasons) {
		if len(r) <= 64 && strings.Trim(r, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
			out = append(out, r)
		}
	}
	return strings.Join(out, ",")
}

// reason is what Google said, which may repeat what others wrote: on one line.
func reason(s string) string {
	if s = content.Line(s, maxMessage); s == "" {
		return "it gave no reason."
	}
	return s
}
