package resource

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
)

// Status of the tenant. The zero status is none that this server knows, and is
// answered with doubt.
type Status string

const (
	Active    Status = exchange.TenantActive
	Suspended Status = exchange.TenantSuspended
)

// Resource is one protected resource of one tenant, checked.
type Resource struct {
	Tenant    string // as in the tid claim; "": whatever the issuer says
	Issuer    oauth.IssuerURL
	Canonical oauth.Resource
	KeysURL   string // on the authorization server's internal listener
	Status    Status
	Product   string // the only product served here; "": all

	Tools         []string // allowed ones; empty: all
	ToolsReport   bool     // others are served and logged
	Origins       []string // of browser clients; empty: those of the settings
	OriginsReport bool     // others of the settings are served and logged

	Limits       map[string]int64 // the tenant's own numbers, by the name of the limit; nil: none
	LimitsReport bool             // what is beyond them is served and logged
}

// Allows reports whether the tenant's list has a tool.
func (r Resource) Allows(tool string) bool {
	return len(r.Tools) == 0 || slices.Contains(r.Tools, tool)
}

// parse checks an answer. What is wrong with one resource or tenant costs the
// others nothing.
func parse(in *exchange.Resources, base string) ([]Resource, []error) {
	var out []Resource
	var refused []error
	seen := map[string]bool{}
	for _, t := range in.Tenants {
		for _, res := range t.Resources {
			r, err := one(t, res, base)
			if err == nil && seen[r.Canonical.String()] {
				err = errors.New("the resource belongs to another tenant already")
			}
			if err != nil {
				refused = append(refused, fmt.Errorf("tenant %q, resource %q: %w", t.ID, res.URL, err))
				continue
			}
			seen[r.Canonical.String()] = true
			out = append(out, r)
		}
	}
	return out, refused
}

func one(t exchange.Tenant, res exchange.Resource, base string) (Resource, error) {
	r := Resource{
		Tenant: t.ID, Product: res.Product, Tools: t.AllowedTools, Origins: t.AllowedOrigins,
		ToolsReport: slices.Contains(t.ReportOnly, "allowed_tools"), OriginsReport: slices.Contains(t.ReportOnly, "allowed_origins"),
		Limits: t.Limits, LimitsReport: slices.Contains(t.ReportOnly, "limits"),
	}
	if s := Status(t.Status); s == Active || s == Suspended {
		r.Status = s
	}
	var err error
	if r.Issuer, err = oauth.ParseIssuerURL(t.Issuer); err != nil {
		return r, err
	}
	if r.Canonical, err = oauth.ParseResource(res.URL); err != nil {
		return r, err
	}
	if Reserved(r.Canonical.Path()) {
		return r, errors.New("the path is one that this server needs for itself")
	}
	// Keys come from the authorization server that gave the list and from nowhere
	// else.
	if u, err := url.Parse(t.KeysPath); err != nil || t.ID == "" || t.KeysPath != exchange.KeysPath+url.PathEscape(t.ID) || u.Host != "" {
		return r, errors.New("keys_path is not a path of the tenant's keys")
	}
	r.KeysURL = base + t.KeysPath
	return r, nil
}

// Reserved reports whether a path is the server's own, so that no resource can
// be there.
func Reserved(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/download" || path == "/upload" || strings.HasPrefix(path, "/.well-known")
}
