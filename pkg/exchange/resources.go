package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ResourcesPath is the path, on the authorization server's internal listener, of
// the list of tenants and their resources. A GET with a client assertion as
// bearer token answers Resources, or 304 for a known ETag.
const ResourcesPath = "/internal/resources"

// KeysPath is followed by a tenant's id: the tenant's key set on the internal
// listener, where a resource server reaches every tenant's in one way.
const KeysPath = "/internal/keys/"

// Limits of an answer. A longer one is refused, never cut.
const (
	MaxTenants        = 10_000
	maxResourcesBytes = 16 << 20
)

// Products that have a resource of their own below that of everything, at
// <resource>/<product>: a token for one opens no other.
const (
	Gmail    = "gmail"
	Drive    = "drive"
	Calendar = "calendar"
	Chat     = "chat"
)

// Products are all of them.
func Products() []string { return []string{Gmail, Drive, Calendar, Chat} }

// Statuses of a tenant. A resource server serves a tenant only whose status it
// knows to be active.
const (
	TenantActive    = "active"
	TenantSuspended = "suspended"
)

// Resources are all tenants with what a resource server has to know of them.
type Resources struct {
	Version string   `json:"version"` // the ETag of the answer
	Tenants []Tenant `json:"tenants"`
}

// Tenant is one tenant.
type Tenant struct {
	ID             string     `json:"id"`     // as in the tid claim
	Issuer         string     `json:"issuer"` // as in the iss claim, byte by byte
	KeysPath       string     `json:"keys_path"`
	Status         string     `json:"status"`
	Resources      []Resource `json:"resources"`
	AllowedTools   []string   `json:"allowed_tools,omitempty"`   // absent: all
	AllowedOrigins []string   `json:"allowed_origins,omitempty"` // absent: those of the resource server's settings
	ReportOnly     []string   `json:"report_only,omitempty"`     // allowed_tools, allowed_origins and limits that refuse nothing but are logged
	// Limits of the tenant's own, by name: how many per the limit's window, in place of
	// the number that both servers know (pkg/ratelimit). A name that a resource server
	// does not keep is the authorization server's.
	Limits map[string]int64 `json:"limits,omitempty"`
}

// Resource is one protected resource of a tenant.
type Resource struct {
	URL     string   `json:"resource"` // canonical: the only audience of tokens for it
	Aliases []string `json:"aliases,omitempty"`
	Product string   `json:"product,omitempty"` // the only product served there; absent: all
}

// Resources asks for the tenants and their resources. It returns nil when they
// are still of the version known. Every error is doubt: what was known before
// holds.
func (c *Client) Resources(ctx context.Context, known string) (*Resources, error) {
	etag := ""
	if known != "" {
		etag = `"` + known + `"`
	}
	resp, err := c.get(ctx, ResourcesPath, "", etag)
	if err != nil {
		return nil, fmt.Errorf("asking for resources: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotModified && known != "" {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking for resources: answered status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResourcesBytes+1))
	if err != nil {
		return nil, fmt.Errorf("asking for resources: %w", err)
	}
	var out Resources
	if err := json.Unmarshal(body, &out); err != nil || len(body) > maxResourcesBytes || out.Version == "" || len(out.Tenants) == 0 || len(out.Tenants) > MaxTenants {
		return nil, errors.New("asking for resources: the answer is not a list of tenants and their resources")
	}
	return &out, nil
}
