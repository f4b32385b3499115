package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/outbound"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

const (
	// knownFor is how long a copy serves requests other than an authorization,
	// whatever its headers say: our upper bound for caching (SEP-991: 24 h).
	knownFor = 24 * time.Hour
	// staleFor is how long the last good copy serves them while the host does not
	// answer with a document. A host that answers that it is gone, or with another
	// one, ends it.
	staleFor = 7 * 24 * time.Hour
	// fetchTime bounds a fetch with its bookkeeping by default.
	fetchTime = 5 * time.Second
)

// Document is the last good copy of a client ID metadata document.
type Document struct {
	URL        string
	Body       []byte
	Fetched    time.Time
	FreshUntil time.Time // by its HTTP headers, within our bounds
	Changed    time.Time // when its text last changed
	LastUsed   time.Time
}

// document finds a client by its document: a copy that is good enough, else a
// fetch. fresh asks for one that is still fresh by its own headers.
func (c *Clients) document(ctx context.Context, t *tenant.Tenant, id, source string, fresh bool) (*client.Client, error) {
	if err := checkDocumentURL(id); err != nil { // first: nothing else is written into the log
		return nil, errors.Join(err, client.ErrNotFound)
	}
	if err := c.admit(ctx, t, id); err != nil {
		return nil, err
	}
	kept, err := c.Store.Document(ctx, t.ID, id)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return nil, err
	}
	now := c.Now()
	if kept != nil && (now.Before(kept.FreshUntil) || (!fresh && now.Sub(kept.Fetched) < knownFor)) {
		return c.use(t, kept)
	}
	fetched, err := c.fetch(ctx, t, id, source, kept != nil)
	if err == nil {
		return fetched, nil
	}
	if !withdrawn(err) && !fresh && kept != nil && now.Sub(kept.Fetched) < staleFor {
		c.Log.Warn("using an old copy of a client's metadata document", "client", id, "error", err)
		return c.use(t, kept)
	}
	return nil, err
}

// admits is the tenant's policy for documents (MCP 2026-07-28, trust policies).
func admits(a tenant.Admission, id string) bool {
	switch a.Mode {
	case tenant.AdmitOpen, tenant.AdmitReportOnly:
		return true
	case tenant.AdmitListed:
		return listed(a, id)
	}
	return false
}

// admit applies the policy, and reports what a stricter one would refuse.
func (c *Clients) admit(ctx context.Context, t *tenant.Tenant, id string) error {
	if !admits(t.Documents, id) {
		return errors.Join(&DocumentError{Advice: "The administrator of this service has not admitted this app."}, client.ErrNotFound)
	}
	if t.Documents.Mode == tenant.AdmitReportOnly && !listed(t.Documents, id) {
		httpx.Annotate(ctx, slog.Bool("client_would_be_refused", true))
		c.Log.Info("client metadata document is not on the list: admitted, because the mode is report-only", "tenant", t.ID.String(), "client", id)
	}
	return nil
}

// withdrawn reports whether the publisher itself took a document back: it is
// gone, or there is another one at its address. A refusal of the host, a
// challenge for robots, a redirect or a page say nothing of the kind, and must
// not sign anybody out (DESIGN §1.5).
func withdrawn(err error) bool {
	var status *outbound.StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusNotFound || status.Status == http.StatusGone
	}
	var verdict *DocumentError
	return errors.As(err, &verdict) && !errors.Is(err, outbound.ErrInvalid) && !errors.Is(err, outbound.ErrRefused)
}

func (c *Clients) use(t *tenant.Tenant, d *Document) (*client.Client, error) {
	found, err := parseDocument(d.URL, d.Body, c.CustomRedirects)
	if err != nil { // it was good when it was kept: the rules or the settings have changed
		return nil, errors.Join(err, client.ErrNotFound)
	}
	found.CreatedAt, found.LastUsedAt = d.Changed, d.LastUsed
	c.keep(key{t.ID, d.URL}, found, d.LastUsed)
	return found, nil
}

// fetch gets the document and keeps it. Concurrent requests for one document
// share a fetch. A verdict is a *DocumentError, joined with client.ErrNotFound;
// anything else is doubt.
func (c *Clients) fetch(ctx context.Context, t *tenant.Tenant, id, source string, kept bool) (*client.Client, error) {
	work := func() (any, error) {
		// A caller who leaves does not cancel the fetch for the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.FetchTime)
		defer cancel()
		// Another flight may have ended between the caller's look and this one.
		if now, err := c.Store.Document(ctx, t.ID, id); err == nil && c.Now().Before(now.FreshUntil) {
			return c.use(t, now)
		}
		got, err := c.Fetch.Get(ctx, outbound.Request{URL: id, Limit: MaxDocument, Known: listed(t.Documents, id), Kept: kept, Source: source})
		if err != nil {
			return nil, explain(err)
		}
		d := &Document{URL: id, Body: got.Body, Fetched: got.Fetched, FreshUntil: got.FreshUntil, Changed: got.Fetched}
		if _, err := parseDocument(id, got.Body, c.CustomRedirects); err != nil {
			return nil, errors.Join(err, client.ErrNotFound)
		}
		if err := c.Store.KeepDocument(ctx, t.ID, d); err != nil {
			return nil, err
		}
		return c.use(t, d)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-c.flight.DoChan(t.ID.String()+" "+id, work):
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*client.Client), nil
	}
}

// explain tells a verdict about the document from doubt.
func explain(err error) error {
	var status *outbound.StatusError
	var busy *outbound.BusyError
	switch {
	case errors.Is(err, outbound.ErrRefused):
		return errors.Join(&DocumentError{Advice: "The address of the app's description is not allowed: it must be a public https address.", Cause: err}, client.ErrNotFound)
	case errors.Is(err, outbound.ErrInvalid):
		return errors.Join(&DocumentError{Advice: "The app's description is too large or not of type application/json.", Cause: err}, client.ErrNotFound)
	case errors.As(err, &status) && status.Status < 500:
		return errors.Join(&DocumentError{Advice: "There is no description of the app at its address.", Cause: err}, client.ErrNotFound)
	case errors.As(err, &busy):
		e := oauth.Unavailable(err)
		e.RetryAfter = busy.RetryAfter
		return e
	}
	return fmt.Errorf("fetching client document: %w", err)
}
