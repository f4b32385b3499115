package tool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// Code names what went wrong, for programs.
type Code string

const (
	CodeInvalidArgument   Code = "invalid_argument"
	CodeNotFound          Code = "not_found"
	CodeConflict          Code = "conflict" // changed by somebody else meanwhile
	CodePermissionDenied  Code = "permission_denied"
	CodeRateLimited       Code = "rate_limited"
	CodeUnavailable       Code = "temporarily_unavailable"
	CodeTimeout           Code = "timeout"
	CodeTooLarge          Code = "response_too_large"
	CodeNotConnected      Code = "not_connected"
	CodeReconnect         Code = "reconnect_required"
	CodeMissingScopes     Code = "missing_google_scopes"
	CodeTestingExpired    Code = "testing_expired"
	CodeAdminPolicy       Code = "admin_policy_blocked"
	CodeAccountSelection  Code = "account_selection_required"
	CodeInsufficientScope Code = "insufficient_scope"
	CodeSessionEnded      Code = "session_ended"
	CodeMisconfigured     Code = "server_misconfigured"
	CodeInternal          Code = "internal"

	CodeDeclined                Code = "declined"
	CodeConfirmationRequired    Code = "confirmation_required"    // on the page of Link
	CodeConfirmationUnavailable Code = "confirmation_unavailable" // there is no way to ask for it
	CodeConfirmationInvalid     Code = "confirmation_invalid"
	CodePolicy                  Code = "policy_blocked"
)

// Error is the typed error of a tool. Message and NextAction are for the model
// and the person: they carry nothing of other people's and no internals. Cause
// is for the log and must hold neither tokens nor content (DESIGN §1.7).
type Error struct {
	Code          Code
	Message       string
	NextAction    string        // what to do about it, in words
	Retryable     bool          // the same call may work later
	RetryAfter    time.Duration // least wait of a retryable error, 0 if unknown
	Link          string        // a page for the person; carries no token
	MissingScopes []string      // Google scopes that were not granted
	Accounts      []Choice      // accounts to choose from
	Cause         error
}

// Choice is one of several accounts, with words in which the person knows it.
type Choice struct{ Handle, Label string }

// Person reports whether Link is a page where the person mends the connection or
// confirms, and not one for the operator.
func (e *Error) Person() bool {
	switch e.Code {
	case CodeNotConnected, CodeReconnect, CodeMissingScopes, CodeTestingExpired, CodeAdminPolicy, CodeConfirmationRequired:
		return true
	}
	return false
}

// Pause is what a handler returns when the call waits for the person's answer:
// no failure, and the result asks the question.
type Pause struct{ Result *mcp.CallToolResult }

func (*Pause) Error() string { return "waiting for the person" }

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Code, e.Cause)
	}
	return string(e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Invalid is a mistake in the arguments, in words that say which.
func Invalid(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf(format, args...), NextAction: "Correct the arguments and call again."}
}

// Body is the structured content of an error result. The server's instructions
// describe it, once for all tools.
type Body struct {
	Code          Code     `json:"code"`
	Message       string   `json:"message"`
	Retryable     bool     `json:"retryable"`
	RetryAfter    int      `json:"retry_after,omitempty"` // seconds
	NextAction    string   `json:"next_action,omitempty"`
	Link          string   `json:"link,omitempty"`
	MissingScopes []string `json:"missing_scopes,omitempty"`
	Accounts      []string `json:"accounts,omitempty"`
}

func (e *Error) body() Body {
	seconds := int((e.RetryAfter + time.Second - 1) / time.Second)
	return Body{
		Code: e.Code, Message: e.Message, Retryable: e.Retryable, RetryAfter: seconds, NextAction: e.NextAction,
		Link: e.Link, MissingScopes: e.MissingScopes, Accounts: e.handles(),
	}
}

func (e *Error) handles() []string {
	var out []string
	for _, a := range e.Accounts {
		out = append(out, a.Handle)
	}
	return out
}

func (e *Error) text() string {
	parts := []string{e.Message}
	if e.NextAction != "" {
		parts = append(parts, e.NextAction)
	}
	if e.Link != "" {
		parts = append(parts, e.Link)
	}
	if len(e.Accounts) > 0 {
		named := make([]string, len(e.Accounts))
		for i, a := range e.Accounts {
			named[i] = a.Handle
			if a.Label != "" && a.Label != a.Handle {
				named[i] += " is " + a.Label
			}
		}
		parts = append(parts, "Accounts: "+strings.Join(named, ", ")+".")
	}
	return strings.Join(parts, " ")
}

// Plain returns an error without its text, which may name a person's files: its
// kind is enough for the log.
func Plain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return fmt.Errorf("%T", err)
}

// Doubtful makes an error say so when nobody can know whether Google did what was
// asked and could not be repeated safely. Other errors stay as they are.
func Doubtful(err error, message, next string) error {
	var e *Error
	if errors.As(err, &e) && (e.Code == CodeUnavailable || e.Code == CodeTimeout) {
		e.Message, e.Retryable, e.NextAction = message, false, next
	}
	return err
}
