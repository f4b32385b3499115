package oauth

import (
	"fmt"
	"net/http"
	"time"
)

// Code is an error code of RFC 6749 §4.1.2.1 and §5.2 or of the RFC named
// beside it.
type Code string

const (
	InvalidRequest          Code = "invalid_request"
	InvalidClient           Code = "invalid_client"
	InvalidGrant            Code = "invalid_grant"
	UnauthorizedClient      Code = "unauthorized_client"
	UnsupportedGrantType    Code = "unsupported_grant_type"
	InvalidScope            Code = "invalid_scope"
	AccessDenied            Code = "access_denied"
	UnsupportedResponseType Code = "unsupported_response_type"
	ServerError             Code = "server_error"
	TemporarilyUnavailable  Code = "temporarily_unavailable"

	InvalidTarget          Code = "invalid_target"            // RFC 8707 §2
	UnsupportedTokenType   Code = "unsupported_token_type"    // RFC 7009 §2.2.1
	InvalidRedirectURI     Code = "invalid_redirect_uri"      // RFC 7591 §3.2.2
	InvalidClientMetadata  Code = "invalid_client_metadata"   // RFC 7591 §3.2.2
	InvalidToken           Code = "invalid_token"             // RFC 6750 §3.1
	InsufficientScope      Code = "insufficient_scope"        // RFC 6750 §3.1
	RequestNotSupported    Code = "request_not_supported"     // OpenID Connect Core §3.1.2.6
	RequestURINotSupported Code = "request_uri_not_supported" // OpenID Connect Core §3.1.2.6
	LoginRequired          Code = "login_required"            // OpenID Connect Core §3.1.2.6
	InteractionRequired    Code = "interaction_required"      // OpenID Connect Core §3.1.2.6; DESIGN §6
	SlowDown               Code = "slow_down"                 // RFC 8628 §3.5; DESIGN §6
)

// Error is the one error type at a protocol boundary. Description is for the
// client and must be safe to show; Cause is for the log only.
type Error struct {
	Code        Code
	Description string // ASCII without quotes or backslash (RFC 6749 §5.2), safe to show
	Status      int    // HTTP status; 0 means StatusOf(Code)
	RetryAfter  time.Duration
	Cause       error
}

// NewError returns an Error with the code's usual status. The description
// reaches the client; it must not carry request content or internals.
func NewError(code Code, description string) *Error {
	return &Error{Code: code, Description: description}
}

// Unavailable is the answer to doubt about infrastructure: 503, never
// invalid_grant, so that nobody is signed out by an outage (DESIGN §1.5).
func Unavailable(cause error) *Error {
	return &Error{
		Code:        TemporarilyUnavailable,
		Description: "The server cannot answer right now. Try again shortly.",
		Status:      http.StatusServiceUnavailable,
		RetryAfter:  2 * time.Second,
		Cause:       cause,
	}
}

// WithCause returns a copy that carries the cause for the log.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// HTTPStatus is Status, or the status RFC 6749 §5.2 gives the code.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope, AccessDenied:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	case SlowDown:
		return http.StatusTooManyRequests
	}
	return http.StatusBadRequest
}

// Error is the text for logs: code, description and cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Description)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }
