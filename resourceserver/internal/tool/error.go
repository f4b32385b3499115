package tool

import (
	"fmt"
	"strings"
	"time"
)

// Code names what went wrong, for programs.
type Code string

const (
	CodeInvalidArgument   Code = "invalid_argument"
	CodeNotFound          Code = "not_found"
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
	Accounts      []string      // handles to choose from
	Cause         error
}

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

// Body is the structured content of an error result.
type Body struct {
	Code          Code     `json:"code" jsonschema:"only in errors: what went wrong"`
	Message       string   `json:"message" jsonschema:"only in errors: the same in words"`
	Retryable     bool     `json:"retryable" jsonschema:"only in errors: the same call may work later"`
	RetryAfter    int      `json:"retry_after,omitempty" jsonschema:"only in errors: seconds to wait before calling again"`
	NextAction    string   `json:"next_action,omitempty" jsonschema:"only in errors: what to do about it"`
	Link          string   `json:"link,omitempty" jsonschema:"only in errors: a page for the person to open"`
	MissingScopes []string `json:"missing_scopes,omitempty" jsonschema:"only in errors: Google access that was not granted"`
	Accounts      []string `json:"accounts,omitempty" jsonschema:"only in errors: account handles to choose from"`
}

func (e *Error) body() Body {
	seconds := int((e.RetryAfter + time.Second - 1) / time.Second)
	return Body{
		Code: e.Code, Message: e.Message, Retryable: e.Retryable, RetryAfter: seconds, NextAction: e.NextAction,
		Link: e.Link, MissingScopes: e.MissingScopes, Accounts: e.Accounts,
	}
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
		parts = append(parts, "Accounts: "+strings.Join(e.Accounts, ", "))
	}
	return strings.Join(parts, " ")
}
