package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"latchkey/pkg/httpx"
)

// Class is what an error of Google's token endpoint means for a credential.
type Class string

const (
	// InvalidGrant: the person must sign in again; the credential is kept and
	// marked.
	InvalidGrant Class = "invalid_grant"
	// ReauthPolicy: an administrator's session policy wants a fresh sign-in
	// (error_subtype invalid_rapt); the grant itself is intact.
	ReauthPolicy Class = "invalid_rapt"
	// Configuration: our client at Google is wrong; no credential is touched.
	Configuration Class = "configuration"
	// ScopeRefused: the refresh token does not cover the scopes asked for; it may
	// well cover less.
	ScopeRefused Class = "invalid_scope"
	// AdminBlocked: the person's administrator does not allow this app.
	AdminBlocked Class = "admin_policy"
	// Transient: Google or the way to it failed; nothing follows from it.
	Transient Class = "transient"
)

// Error is a classified failure of a call to Google. It carries no text of
// Google's but the error code, so it may be logged.
type Error struct {
	Class Class
	Code  string        // Google's error code, "" when there was no answer
	After time.Duration // Retry-After of a Transient answer, at most a minute; 0: none was given
	cause error
}

func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("google: %s (%s)", e.Class, e.Code)
	}
	return fmt.Sprintf("google: %s: %v", e.Class, e.cause)
}

// Unwrap returns the cause of a failure without an answer, nil otherwise: an
// answer's body may carry what must not be logged.
func (e *Error) Unwrap() error {
	if e.Code != "" {
		return nil
	}
	return e.cause
}

// ClassOf returns the class of an error, Transient for one that is none of
// Google's: doubt never condemns a credential (DESIGN §1.5).
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// maxAfter bounds Retry-After: a longer pause would be an outage of our own
// making.
const maxAfter = time.Minute

// RetryAfter returns how long Google asked to be left alone, 0 if it did not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.After
	}
	return 0
}

// classify sorts what x/oauth2 returns. error_subtype is only in the body.
func classify(err error) error {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) {
		return &Error{Class: Transient, cause: err}
	}
	if r.Response != nil && (r.Response.StatusCode >= 500 || r.Response.StatusCode == 429) {
		return &Error{Class: Transient, Code: fmt.Sprintf("status_%d", r.Response.StatusCode), After: min(httpx.RetryAfter(r.Response.Header), maxAfter), cause: err}
	}
	var body struct {
		Subtype string `json:"error_subtype"`
	}
	_ = json.Unmarshal(r.Body, &body)
	switch r.ErrorCode {
	case "invalid_grant":
		if body.Subtype == "invalid_rapt" || body.Subtype == "rapt_required" {
			return &Error{Class: ReauthPolicy, Code: body.Subtype, cause: err}
		}
		return &Error{Class: InvalidGrant, Code: r.ErrorCode, cause: err}
	case "invalid_scope":
		return &Error{Class: ScopeRefused, Code: r.ErrorCode, cause: err}
	case "admin_policy_enforced", "org_internal", "access_denied":
		return &Error{Class: AdminBlocked, Code: r.ErrorCode, cause: err}
	case "invalid_client", "unauthorized_client", "deleted_client", "disabled_client", "redirect_uri_mismatch", "invalid_request", "unsupported_grant_type":
		return &Error{Class: Configuration, Code: r.ErrorCode, cause: err}
	}
	return &Error{Class: Transient, Code: "unrecognised", cause: err}
}
