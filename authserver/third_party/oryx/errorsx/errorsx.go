// Package errorsx has the names that fosite uses of the package it stands in
// for, and nothing else. Why there is a stand-in:
// authserver/docs/decisions/0001-ory-x.md.
package errorsx

import "github.com/pkg/errors"

// The carriers are what an error may offer to a renderer of fosite's.
type (
	// StatusCodeCarrier has an HTTP status.
	StatusCodeCarrier interface{ StatusCode() int }
	// RequestIDCarrier has a request id.
	RequestIDCarrier interface{ RequestID() string }
	// ReasonCarrier has a reason.
	ReasonCarrier interface{ Reason() string }
	// DebugCarrier has text for developers.
	DebugCarrier interface{ Debug() string }
	// StatusCarrier has a status text.
	StatusCarrier interface{ Status() string }
	// DetailsCarrier has structured details.
	DetailsCarrier interface{ Details() map[string]any }
)

// WithStack adds a stack trace unless the error has one.
func WithStack(err error) error {
	if _, has := err.(interface{ StackTrace() errors.StackTrace }); has || err == nil {
		return err
	}
	return errors.WithStack(err)
}

// Cause is the innermost error of a chain.
func Cause(err error) error { return errors.Cause(err) }
