package exchange

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// overlap is how far the feed looks back behind what it has told already: a
// revocation carries the time its transaction began and is seen when that has
// ended, at the latest after the statement timeout of 5 s.
const overlap = 30 * time.Second

// maxBack bounds since: the longest life of an access token. Older revocations
// concern nobody.
const maxBack = 24 * time.Hour

// Revocation is one revoked grant.
type Revocation struct {
	Grant string
	At    time.Time
}

// Epoch revokes what was granted up to a time: of a tenant, or in it of a person,
// a client, or both.
type Epoch struct {
	Tenant  tenant.ID // zero: every tenant
	Subject uuid.UUID // uuid.Nil: everybody
	Client  string    // "": every client
	Before  time.Time // grants made up to and including it
}

// Feed is what was revoked since a time, each list oldest first.
type Feed struct {
	Grants []Revocation // those that no epoch says
	Epochs []Epoch
	Now    time.Time // the database's
}

// RevocationStore reads revoked grants and epochs of all tenants, at most so many
// of each, but of grants always all of a millisecond.
type RevocationStore interface {
	Burner
	Revocations(ctx context.Context, since time.Time, grants, epochs int) (*Feed, error)
}

// RevocationHandler serves the feed by which resource servers learn of revoked
// grants before the access tokens end (DESIGN §4). Every field is required.
type RevocationHandler struct {
	Clients *Clients
	Store   RevocationStore
	Now     func() time.Time
}

// ServeHTTP answers GET with revocations since a time, oldest first.
func (h *RevocationHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := h.list(w, r)
	if err != nil {
		render(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (h *RevocationHandler) list(w http.ResponseWriter, r *http.Request) (*wire.Revocations, error) {
	caller, err := h.Clients.reader(w, r, wire.RevocationsPath, h.Now())
	if err != nil {
		return nil, err
	}
	milliseconds, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	if err != nil || milliseconds < 0 || milliseconds > h.Now().Add(maxBack).UnixMilli() { // nobody's clock is a day ahead
		return nil, fail(oauth.InvalidRequest, "since must be a Unix time in milliseconds.")
	}
	if err := burn(r.Context(), h.Store, caller); err != nil {
		return nil, err
	}
	since := time.UnixMilli(milliseconds)
	if earliest := h.Now().Add(-maxBack); since.Before(earliest) {
		since = earliest
	}
	feed, err := h.Store.Revocations(r.Context(), since, wire.MaxRevocations, wire.MaxEpochs)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &wire.Revocations{Grants: make([]string, 0, len(feed.Grants)), Next: max(feed.Now.Add(-overlap).UnixMilli(), 1)}
	for _, one := range feed.Grants {
		out.Grants = append(out.Grants, one.Grant)
	}
	for _, e := range feed.Epochs {
		out.Epochs = append(out.Epochs, e.wire())
	}
	end := int64(math.MaxInt64)
	if n := len(feed.Grants); n >= wire.MaxRevocations {
		end = feed.Grants[n-1].At.UnixMilli() + 1
	}
	if n := len(feed.Epochs); n == wire.MaxEpochs {
		// The last millisecond comes again: several may share it. Where all of them do,
		// time moves on by one, and so does the feed.
		end = min(end, max(feed.Epochs[n-1].Before.UnixMilli(), since.UnixMilli()+1))
	}
	if end < math.MaxInt64 {
		// Of two lists the one that ends earlier counts: what comes twice does no harm.
		// While there is more, the feed does not look back: it would come to the same end
		// again. The last answer does.
		out.More, out.Next = true, end
	}
	return out, nil
}

func (e Epoch) wire() wire.Epoch {
	w := wire.Epoch{Client: e.Client, Before: e.Before.UnixMicro()}
	if !e.Tenant.IsZero() {
		w.Tenant = e.Tenant.String()
	}
	if e.Subject != uuid.Nil {
		w.Subject = e.Subject.String()
	}
	return w
}
