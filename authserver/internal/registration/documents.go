package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// answer. A host that then answers that the document is gone ends it.
	staleFor = 7 * 24 * time.Hour
	// fetchTime bounds a fetch with its bookkeeping.
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
	if err := c.admit(ctx, t, id); err != nil {
		return nil, err
	}
	if err := checkDocumentURL(id); err != nil {
		return nil, errors.Join(err, client.ErrNotFound)
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
	var verdict *DocumentError
	if !errors.As(err, &verdict) && !fresh && kept != nil && now.Sub(kept.Fetched) < staleFor {
		c.Log.Warn("using an old copy of a client's metadata document", "client", id, "error", err)
		return c.use(t, kept)
	}
	return nil, err
}

// admit applies the tenant's policy for documents (MCP 2026-07-28, trust
// policies).
func (c *Clients) admit(ctx context.Context, t *tenant.Tenant, id string) error {
	switch t.Documents.Mode {
	case tenant.AdmitOpen:
		return nil
	case tenant.AdmitReportOnly:
		if !listed(t.Documents, id) {
			httpx.Annotate(ctx, slog.Bool("client_would_be_refused", true))
			c.Log.Info("client metadata document is not on the list: admitted, because the mode is report-only", "tenant", t.ID.String(), "client", id)
		}
		return nil
	case tenant.AdmitListed:
		if listed(t.Documents, id) {
			return nil
		}
	}
	return errors.Join(&DocumentError{Advice: "The administrator of this service has not admitted this app."}, client.ErrNotFound)
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
		defer cancel()
		// Another flight may have ended between the caller's look and this one.
		if now, err := c.Store.Document(ctx, t.ID, id); err == nil && c.Now().Before(now.FreshUntil) {
			return c.use(t, now)
		}
		got, err := c.Fetch.Get(ctx, outbound.Request{URL: id, Limit: MaxDocument, Known: kept || listed(t.Documents, id), Kept: kept, Source: source})
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
