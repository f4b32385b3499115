// Package otelx has the one function that fosite uses of the package it stands
// in for. Why: authserver/docs/decisions/0001-ory-x.md.
package otelx

import (
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// End ends a span and marks it failed if *err is an error. Only the fact is
// recorded: an error's text may carry what must not reach a trace.
func End(span trace.Span, err *error) {
	if err != nil && *err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}
