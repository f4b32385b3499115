package tenant

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Directory finds tenants. It is immutable; the owner replaces the whole.
type Directory struct {
	byID   map[ID]*Tenant
	bySlug map[string]*Tenant // those without a host of their own
	byHost map[string]*Tenant
}

// NewDirectory checks that ids, slugs, hosts, issuers and resources are unique
// and that there is a default tenant.
func NewDirectory(tenants ...*Tenant) (*Directory, error) {
	d, refused := Assemble(tenants...)
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	return d, nil
}

// Assemble makes a directory of the tenants, in order, and says which it left
// out because they claim what belongs to an earlier one. Without a default
// tenant there is no directory.
func Assemble(tenants ...*Tenant) (*Directory, []error) {
	d := &Directory{byID: map[ID]*Tenant{}, bySlug: map[string]*Tenant{}, byHost: map[string]*Tenant{}}
	var refused []error
	taken := map[string]bool{}
	for _, t := range tenants {
		if err := d.add(t, taken); err != nil {
			refused = append(refused, fmt.Errorf("tenant %q: %w", t.Slug, err))
		}
	}
	if d.byID[DefaultID] == nil {
		return nil, append(refused, errors.New("the directory has no default tenant"))
	}
	return d, refused
}

func (d *Directory) add(t *Tenant, taken map[string]bool) error {
	if t.ID.IsZero() || t.Issuer.IsZero() || d.byID[t.ID] != nil {
		return errors.New("id and issuer must be set and unique")
	}
	names := t.names()
	for _, name := range names {
		if taken[name] {
			return fmt.Errorf("%s belongs to another tenant", name)
		}
	}
	for _, name := range names {
		taken[name] = true
	}
	d.byID[t.ID] = t
	switch {
	case t.ID == DefaultID:
	case t.Host != "":
		d.byHost[t.Host] = t
	default:
		d.bySlug[t.Slug] = t
	}
	return nil
}

// names are what a tenant shares with no other.
func (t *Tenant) names() []string {
	names := []string{"slug " + t.Slug, "issuer " + t.Issuer.String()}
	for _, r := range t.Resources {
		names = append(names, "resource "+r.Canonical.String())
	}
	return names
}

// ByID returns the tenant with an id.
func (d *Directory) ByID(id ID) (*Tenant, bool) {
	t, ok := d.byID[id]
	return t, ok
}

// Has reports whether there is a tenant with an id.
func (d *Directory) Has(id ID) bool { return d.byID[id] != nil }

// All returns every tenant, in no order; the slice is the caller's.
func (d *Directory) All() []*Tenant { return slices.Collect(maps.Values(d.byID)) }

// Default returns the default tenant.
func (d *Directory) Default() *Tenant { return d.byID[DefaultID] }

// ByHost returns the tenant whose own host this is. The host only chooses among
// configured ones: no issuer is ever made of it (DESIGN §1.8).
func (d *Directory) ByHost(host string) (*Tenant, bool) {
	if len(d.byHost) == 0 {
		return nil, false
	}
	t, ok := d.byHost[strings.TrimSuffix(strings.ToLower(host), ":443")]
	return t, ok
}

// Resolve finds the tenant of a request (DESIGN §3): at a host of its own every
// path is that tenant's and no other's; elsewhere /t/<slug>/rest is that
// tenant's /rest, and anything else the default tenant's.
func (d *Directory) Resolve(host, path string) (t *Tenant, rest string, ok bool) {
	after, scoped := strings.CutPrefix(path, "/t/")
	if own, ok := d.ByHost(host); ok {
		return own, path, !scoped
	}
	if !scoped {
		return d.Default(), path, true
	}
	slug, rest, _ := strings.Cut(after, "/")
	t, ok = d.bySlug[slug]
	return t, "/" + rest, ok
}

// Here reports whether a host is where the tenant's own pages are. What a
// browser brings to another tenant's host is none of this one's.
func (d *Directory) Here(t *Tenant, host string) bool {
	own, ok := d.ByHost(host)
	return ok && own == t || !ok && t.Host == ""
}
