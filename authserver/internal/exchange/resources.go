package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// Burner uses assertions up. BurnAssertion returns client.ErrAssertionUsed for a
// second presentation.
type Burner interface {
	BurnAssertion(ctx context.Context, t tenant.ID, a *client.AssertionID) error
}

// burn uses up the assertion of a resource server, which belongs to the
// deployment, so its row does to the default tenant.
func burn(ctx context.Context, store Burner, caller *client.AssertionID) error {
	err := store.BurnAssertion(ctx, tenant.DefaultID, caller)
	if errors.Is(err, client.ErrAssertionUsed) {
		return fail(oauth.InvalidClient, "The client assertion was used before.")
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// reader authenticates the caller of a feed.
func (c *Clients) reader(w http.ResponseWriter, r *http.Request, path string, now time.Time) (*client.AssertionID, error) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		e := fail(oauth.InvalidRequest, "The feed takes GET only.")
		e.Status = http.StatusMethodNotAllowed
		return nil, e
	}
	return c.AuthenticateFeed(path, r.Header.Get("Authorization"), now)
}

// ResourceHandler serves the list by which resource servers learn of tenants and
// their resources without a restart (DESIGN §3). Every field is required.
type ResourceHandler struct {
	Clients *Clients
	Store   Burner
	Tenants func() *tenant.Directory
	Now     func() time.Time
}

// ServeHTTP answers GET with all tenants, or 304 when the caller knows them.
func (h *ResourceHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	out, err := h.list(w, r)
	if err != nil {
		render(w, r, err)
		return
	}
	etag := `"` + out.Version + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (h *ResourceHandler) list(w http.ResponseWriter, r *http.Request) (*wire.Resources, error) {
	caller, err := h.Clients.reader(w, r, wire.ResourcesPath, h.Now())
	if err != nil {
		return nil, err
	}
	if err := burn(r.Context(), h.Store, caller); err != nil {
		return nil, err
	}
	directory := h.Tenants()
	// Before the tenants were read there is no list: an empty one would end
	// everybody's access.
	if directory.Default().Status == "" {
		return nil, unavailable(errors.New("the tenants could not be read yet"))
	}
	out := &wire.Resources{}
	for _, t := range directory.All() {
		out.Tenants = append(out.Tenants, describe(t))
	}
	slices.SortFunc(out.Tenants, func(a, b wire.Tenant) int { return strings.Compare(a.ID, b.ID) })
	if len(out.Tenants) > wire.MaxTenants {
		return nil, unavailable(errors.New("there are more tenants than a resource server takes"))
	}
	body, err := json.Marshal(out.Tenants)
	if err != nil {
		return nil, unavailable(err)
	}
	sum := sha256.Sum256(body)
	out.Version = hex.EncodeToString(sum[:16])
	return out, nil
}

func describe(t *tenant.Tenant) wire.Tenant {
	out := wire.Tenant{
		ID: t.ID.String(), Issuer: t.Issuer.String(), KeysPath: wire.KeysPath + t.ID.String(), Status: string(t.Status), Resources: []wire.Resource{},
		AllowedTools: t.Policy.AllowedTools, AllowedOrigins: t.Policy.AllowedOrigins, Limits: t.Policy.Limits,
	}
	for _, p := range t.Policy.ReportOnly {
		if p == tenant.ByTools || p == tenant.ByOrigins || p == tenant.ByLimits {
			out.ReportOnly = append(out.ReportOnly, string(p))
		}
	}
	for _, r := range t.Resources {
		out.Resources = append(out.Resources, wire.Resource{URL: r.Canonical.String(), Aliases: r.Aliases, Product: r.Product})
	}
	return out
}
