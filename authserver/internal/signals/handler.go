package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"latchkey/pkg/httpx"
)

// MaxBodyBytes bounds a delivery. Google's have less than 2 KiB.
const MaxBodyBytes = 32 << 10

// Effect is what an event changed.
type Effect struct {
	Duplicate   bool  // it was acted on before: nothing was done now
	Matched     int64 // credentials it is about
	Credentials int64 // of these marked; the others were linked after the event
	Grants      int64 // revoked
}

// Store is what receiving needs of the database. Act does everything or
// nothing: the signal's ID is used up in the transaction of its acts, decided by
// one conditional statement, so that of concurrent deliveries one acts and a
// delivery that failed can be repeated. Acts reach only credentials that one of
// the signal's clients minted, of every tenant, and only what is older than
// Issued and Skew.
type Store interface {
	ActOnSignal(ctx context.Context, s *Signal) (Effect, error)
}

// Handler serves the receiver's endpoint (RFC 8935 §2). Every field is required.
type Handler struct {
	Keys    KeySource
	Issuer  string          // exact; Google's ends in a slash
	Clients func() []string // our OAuth client ids at Google
	Store   Store
	Now     func() time.Time
}

// ServeHTTP takes a delivery: 202 for an event that was acted on, now or
// before, or that asks for nothing; 400 for what is no event for us; 503 where
// that cannot be told, so that Google delivers again.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	status, err := h.receive(w, r)
	if err != nil {
		httpx.Failed(r.Context(), err)
	}
	var no *refusal
	if !errors.As(err, &no) {
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en") // RFC 8935 §2.3
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Err         string `json:"err"`
		Description string `json:"description"`
	}{no.code, no.description})
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) (int, error) {
	token, status, err := body(w, r)
	if err != nil {
		return status, err
	}
	s, err := h.verify(r.Context(), token)
	var no *refusal
	if errors.As(err, &no) {
		return http.StatusBadRequest, err
	}
	if err != nil {
		return http.StatusServiceUnavailable, err
	}
	done, err := h.Store.ActOnSignal(r.Context(), s)
	annotate(r.Context(), s, done)
	if err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("acting on a signal: %w", err)
	}
	return http.StatusAccepted, nil
}

// body reads a delivery (RFC 8935 §2.1).
func body(w http.ResponseWriter, r *http.Request) (string, int, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return "", http.StatusMethodNotAllowed, refuse("invalid_request", "Events come by POST.", nil)
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/secevent+jwt" {
		return "", http.StatusUnsupportedMediaType, refuse("invalid_request", "The body must be application/secevent+jwt.", nil)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return "", http.StatusRequestEntityTooLarge, refuse("invalid_request", "The body is too large.", nil)
	}
	if err != nil {
		return "", http.StatusBadRequest, refuse("invalid_request", "The body cannot be read.", err)
	}
	return strings.TrimSpace(string(b)), 0, nil
}

// annotate says what came and what was done, without saying who it is about.
func annotate(ctx context.Context, s *Signal, done Effect) {
	names, notes := make([]string, len(s.events)), make([]string, 0, len(s.events))
	for i, e := range s.events {
		names[i] = e.name
		if e.note != "" {
			notes = append(notes, e.name+": "+e.note)
		}
	}
	if len(s.Acts) > 0 && !done.Duplicate && done.Matched == 0 {
		notes = append(notes, "no credential matches")
	}
	httpx.Annotate(ctx, slog.String("signal", strings.Join(names, " ")), slog.String("jti", s.jti), slog.Time("issued", s.Issued),
		slog.Bool("duplicate", done.Duplicate), slog.Int64("matched", done.Matched), slog.Int64("credentials", done.Credentials), slog.Int64("grants", done.Grants))
	if len(notes) > 0 {
		httpx.Annotate(ctx, slog.String("note", strings.Join(notes, "; ")))
	}
}
