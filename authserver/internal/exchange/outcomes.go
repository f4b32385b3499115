package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// Outcome is one reported tool call, parsed.
type Outcome struct {
	Tenant     tenant.ID
	Grant      uuid.UUID
	Tool       string
	Outcome    string
	DurationMS int32
	RequestID  string // of the resource server's request
}

// OutcomeStore keeps reported outcomes. RecordOutcomes writes those of grants
// that exist in their tenant, in one transaction, and returns how many these
// were. BurnAssertion returns client.ErrAssertionUsed for a second presentation.
type OutcomeStore interface {
	BurnAssertion(ctx context.Context, t tenant.ID, a *client.AssertionID) error
	RecordOutcomes(ctx context.Context, list []Outcome) (int64, error)
}

// OutcomeHandler takes the resource servers' reports of how tool calls ended,
// for the audit trail. Every field is required.
type OutcomeHandler struct {
	Clients *Clients
	Store   OutcomeStore
	Now     func() time.Time
}

const (
	maxOutcome   = 40
	maxTool      = 64
	maxRequestID = 64
)

// ServeHTTP takes a report: 204 when it is recorded. A report is taken whole or
// not at all, but for outcomes of grants that do not exist.
func (h *OutcomeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := h.take(w, r); err != nil {
		w.Header().Set("Content-Type", "application/json")
		render(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *OutcomeHandler) take(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		e := fail(oauth.InvalidRequest, "Outcomes come by POST.")
		e.Status = http.StatusMethodNotAllowed
		return e
	}
	caller, err := h.Clients.AuthenticateFeed(wire.OutcomesPath, r.Header.Get("Authorization"), h.Now())
	if err != nil {
		return err
	}
	list, err := outcomes(w, r)
	if err != nil {
		return err
	}
	err = h.Store.BurnAssertion(ctx, tenant.DefaultID, caller) // as at the feed
	if errors.Is(err, client.ErrAssertionUsed) {
		return fail(oauth.InvalidClient, "The client assertion was used before.")
	}
	if err != nil {
		return unavailable(err)
	}
	n, err := h.Store.RecordOutcomes(ctx, list)
	if err != nil {
		return unavailable(err)
	}
	httpx.Annotate(ctx, slog.Int("outcomes", len(list)), slog.Int64("recorded", n))
	return nil
}

func outcomes(w http.ResponseWriter, r *http.Request) ([]Outcome, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, fail(oauth.InvalidRequest, "The body must be application/json.")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, wire.MaxOutcomesBytes))
	d.DisallowUnknownFields() // what is not on the list has no place in the trail
	var in wire.Outcomes
	if err := d.Decode(&in); err != nil {
		return nil, fail(oauth.InvalidRequest, "The body is no report of outcomes or is too large.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fail(oauth.InvalidRequest, "The body goes on after the report.")
	}
	if len(in.Outcomes) == 0 || len(in.Outcomes) > wire.MaxOutcomes {
		return nil, fail(oauth.InvalidRequest, "A report has 1 to 100 outcomes.")
	}
	out := make([]Outcome, 0, len(in.Outcomes))
	for _, o := range in.Outcomes {
		t, err := tenant.ParseID(o.Tenant)
		if err != nil {
			return nil, fail(oauth.InvalidRequest, "An outcome names no tenant.")
		}
		id, err := uuid.Parse(o.Grant)
		switch {
		case err != nil || id.String() != o.Grant:
			return nil, fail(oauth.InvalidRequest, "An outcome names no grant.")
		case !word(o.Tool, maxTool, "0123456789") || !word(o.Outcome, maxOutcome, "") || o.DurationMS < 0:
			return nil, fail(oauth.InvalidRequest, "An outcome's tool, outcome or duration is malformed.")
		case len(o.RequestID) > maxRequestID || !only(o.RequestID, letters+capitals+"0123456789_-"):
			return nil, fail(oauth.InvalidRequest, "An outcome's request id is malformed.")
		}
		out = append(out, Outcome{Tenant: t, Grant: id, Tool: o.Tool, Outcome: o.Outcome, DurationMS: o.DurationMS, RequestID: o.RequestID})
	}
	return out, nil
}

const (
	letters  = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// word reports whether s is a name of letters, underscores and more.
func word(s string, limit int, more string) bool {
	return s != "" && len(s) <= limit && only(s, letters+"_"+more)
}

func only(s, set string) bool {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return true
}
