package exchange

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

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

// RevocationStore reads revoked grants of all tenants.
type RevocationStore interface {
	Burner
	Revocations(ctx context.Context, since time.Time, limit int) (list []Revocation, now time.Time, err error)
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
	list, now, err := h.Store.Revocations(r.Context(), since, wire.MaxRevocations)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &wire.Revocations{Grants: make([]string, 0, len(list)), Next: max(now.Add(-overlap).UnixMilli(), 1)}
	for _, one := range list {
		out.Grants = append(out.Grants, one.Grant)
	}
	if len(list) == wire.MaxRevocations {
		// The last millisecond comes again: several may share it. Where all of them
		// do, time moves on by one, and so does the feed.
		out.More, out.Next = true, list[len(list)-1].At.UnixMilli()
		if out.Next <= since.UnixMilli() {
			out.Next = since.UnixMilli() + 1
		}
	}
	return out, nil
}
