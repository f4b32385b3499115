// Package ratelimit limits what a person, a tool and a tenant may ask of this
// process. What all processes together may ask of the authorization server is
// limited there, at the exchange. Whom it counts comes from a verified token, and
// the tool from the table of tools: nothing here is a name from outside.
package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/tool"
)

// bucket is what is counted together.
type bucket struct {
	limit, tenant, subject, tool string
	dry                          bool // under what the tenant has only said
}

// Own are a tenant's own numbers, by the name of the limit.
type Own struct {
	Quotas map[string]int64
	Report bool // the others hold, and what is beyond these is logged
}

// Limits are the limits of this process. Safe for concurrent use.
type Limits struct {
	scale   float64
	now     func() time.Time
	buckets ratelimit.Local[bucket]
	own     atomic.Pointer[map[string]Own]
}

// New returns limits times a factor; 0 is none. now may be nil.
func New(scale float64, now func() time.Time) *Limits {
	if now == nil {
		now = time.Now
	}
	return &Limits{scale: scale, now: now}
}

// Follow takes the tenants' own numbers, by tenant, in place of those before.
func (l *Limits) Follow(own map[string]Own) { l.own.Store(&own) }

func (l *Limits) ask(limit ratelimit.Limit, subject, tool string, p *bearer.Principal) ratelimit.Ask[bucket] {
	return ratelimit.Ask[bucket]{Key: bucket{limit.Name, p.Tenant, subject, tool, false}, Limit: limit}
}

// take takes a unit of every bucket, or none.
func (l *Limits) take(ctx context.Context, p *bearer.Principal, asks ...ratelimit.Ask[bucket]) (ratelimit.State, bool) {
	var own Own
	if all := l.own.Load(); all != nil {
		own = (*all)[p.Tenant]
	}
	for i, a := range asks {
		limit := a.Limit
		if quota := own.Quotas[limit.Name]; quota > 0 {
			if limit = limit.WithQuota(quota); own.Report {
				l.rehearse(ctx, p, a.Key, limit)
				limit = a.Limit
			}
		}
		asks[i].Limit = limit.Scaled(l.scale)
	}
	return l.buckets.Take(l.now(), asks...)
}

// rehearse counts under a limit that holds for nobody yet, and logs what is beyond.
func (l *Limits) rehearse(ctx context.Context, p *bearer.Principal, key bucket, limit ratelimit.Limit) {
	key.dry = true
	if _, ok := l.buckets.Take(l.now(), ratelimit.Ask[bucket]{Key: key, Limit: limit.Scaled(l.scale)}); !ok {
		httpx.Annotate(ctx, slog.String("limit", limit.Name))
		bearer.Report(ctx, "limits", p.Tenant, p.ClientID)
	}
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
		if s, ok := l.take(r.Context(), p, l.ask(ratelimit.Requests, p.Subject, "", p)); !ok {
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
	s, ok := l.take(ctx, p, l.ask(ratelimit.Tool, p.Subject, name, p), l.ask(ratelimit.Person, p.Subject, "", p), l.ask(ratelimit.Tenant, "", "", p))
	if ok {
		return nil
	}
	whose := map[string]string{ratelimit.Tool.Name: "of this tool", ratelimit.Person.Name: "by this person", ratelimit.Tenant.Name: "by everyone here"}[s.Limit.Name]
	return &tool.Error{Code: tool.CodeRateLimited, Message: "Too many calls were made " + whose + ".", Retryable: true, RetryAfter: s.Retry,
		NextAction: "Wait as long as retry_after says, then call again. Signing in again does not help."}
}
