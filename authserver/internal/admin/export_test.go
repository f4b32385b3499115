package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
)

// QueryOf are the parameters that a route's query may have.
func QueryOf(r *Route) []string { return r.query }

// CursorRoundTrip seals a cursor and opens it again, later.
func CursorRoundTrip(ctx context.Context, v Sealer, now func() time.Time, later func()) (string, error) {
	a := &API{Config: Config{Vault: v, Now: now}}
	c := &call{r: httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), route: &Route{}, who: &Administrator{}}
	sealed, err := a.seal(c, url.Values{}, "after")
	if err != nil {
		return "", err
	}
	later()
	return a.open(c, url.Values{"cursor": {sealed}})
}
