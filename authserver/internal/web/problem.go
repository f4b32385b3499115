package web

import (
	"encoding/json"
	"errors"
	"net/http"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// ProblemError is an error of the admin API as its client sees it.
type ProblemError struct {
	Status int
	Code   string // for programs; from a closed set
	Detail string // for people; safe to show
	Cause  error  // for the log
}

func (e *ProblemError) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Detail + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Detail
}

// Unwrap returns the cause.
func (e *ProblemError) Unwrap() error { return e.Cause }

// problem is the body (RFC 9457 §3.1). What kind of problem it is, code says; type
// is about:blank, so title is the status in words (§4.2.1).
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

// Problem renders errors as problem details (RFC 9457). Anything that is none of
// ours is doubt: 503.
func Problem(h httpx.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := h(w, r)
		if err == nil {
			return
		}
		httpx.Failed(r.Context(), err)
		if httpx.Started(w) {
			return
		}
		var e *ProblemError
		if !errors.As(err, &e) {
			p := protocolError(err)
			setRetryAfter(w, p)
			e = &ProblemError{Status: p.HTTPStatus(), Code: string(p.Code), Detail: p.Description}
			if p.Code == oauth.InvalidRequest && e.Status == http.StatusRequestEntityTooLarge {
				e.Code = "too_large"
			}
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(e.Status)
		_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(e.Status), e.Status, e.Detail, e.Code, httpx.RequestID(r.Context())})
	})
}
