// Package ratelimit limits what a person, a tool and a tenant may ask of this
// process. What all processes together may ask of the authorization server is
// limited there, at the exchange. Whom it counts comes from a verified token, and
// the tool from the table of tools: nothing here is a name from outside.
package ratelimit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/tool"
)

// The limits, by the seed's numbers (docs/limits.md of the authorization server).
var (
	requests = ratelimit.Limit{Name: "requests", Quota: 1200, Window: time.Minute}
	perTool  = ratelimit.Limit{Name: "tool", Quota: 100, Window: time.Minute}
	person   = ratelimit.Limit{Name: "person", Quota: 1000, Window: time.Hour}
	tenant   = ratelimit.Limit{Name: "tenant", Quota: 10_000, Window: time.Hour}
)

// bucket is what is counted together.
type bucket struct{ limit, tenant, subject, tool string }

// Limits are the limits of this process. Safe for concurrent use.
type Limits struct {
	scale   float64
	now     func() time.Time
	buckets ratelimit.Local[bucket]
}

// New returns limits times a factor; 0 is none. now may be nil.
func New(scale float64, now func() time.Time) *Limits {
	if now == nil {
		now = time.Now
	}
	return &Limits{scale: scale, now: now}
}

func (l *Limits) ask(limit ratelimit.Limit, subject, tool string, p *bearer.Principal) ratelimit.Ask[bucket] {
	return ratelimit.Ask[bucket]{Key: bucket{limit.Name, p.Tenant, subject, tool}, Limit: limit.Scaled(l.scale)}
}

// Requests refuses what one person, or a client for itself, sends too much of, of
// whatever kind, with 429 and Retry-After. The guard is in front of it.
func (l *Limits) Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := bearer.From(r.Context())
		if p == nil {
			bearer.Refuse(r.Context(), bearer.Misconfigured())
			return
		}
		if s, ok := l.buckets.Take(l.now(), l.ask(requests, p.Subject, "", p)); !ok {
			s.SetHeader(w.Header())
			bearer.Refuse(r.Context(), &bearer.Refusal{Status: http.StatusTooManyRequests, Code: oauth.TemporarilyUnavailable, RetryAfter: s.Retry,
				Sentence: "Too many requests. Wait and try again; signing in again does not help."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Call counts a call of a tool. Beyond a limit it returns a typed error, which the
// model reads and can wait for: an HTTP status would reach the client's transport
// only, and end the call there (MCP 2026-07-28, server/tools, "Error Handling").
func (l *Limits) Call(ctx context.Context, name string) *tool.Error {
	p := bearer.From(ctx)
	if p == nil {
		return &tool.Error{Code: tool.CodeInternal, Message: "Something went wrong in the server.", Cause: errors.New("no principal: the guard is not in front of this tool")}
	}
	s, ok := l.buckets.Take(l.now(), l.ask(perTool, p.Subject, name, p), l.ask(person, p.Subject, "", p), l.ask(tenant, "", "", p))
	if ok {
		return nil
	}
	whose := map[string]string{perTool.Name: "of this tool", person.Name: "by this person", tenant.Name: "by everyone here"}[s.Limit.Name]
	return &tool.Error{Code: tool.CodeRateLimited, Message: "Too many calls were made " + whose + ".", Retryable: true, RetryAfter: s.Retry,
		NextAction: "Wait as long as retry_after says, then call again. Signing in again does not help."}
}
