package app

import (
	"fmt"
	"reflect"
	"strings"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/metadata"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/resource"
)

// table is every resource that is served, immutable: a request reads one
// pointer.
type table struct {
	all   []*mounted            // that of the settings first
	at    map[string][]*mounted // by path of the MCP endpoint
	about map[string][]*mounted // by path of the metadata document
	of    map[string]*mounted   // by canonical URL
	hosts map[string]bool       // those of the resources, with a port that is not the scheme's
	keys  map[string]*accesstoken.RemoteKeys
}

func newTable() *table {
	return &table{
		at: map[string][]*mounted{}, about: map[string][]*mounted{}, of: map[string]*mounted{}, hosts: map[string]bool{},
		keys: map[string]*accesstoken.RemoteKeys{},
	}
}

// follow replaces the table by one for the resources of all tenants.
func (s *server) follow(list []resource.Resource) {
	next, err := s.tableOf(list, s.table.Load())
	if err != nil { // the last good copy serves
		s.log.Error("the list of tenants cannot be served", "error", err)
		return
	}
	own := map[string]ratelimit.Own{}
	for _, m := range next.all {
		if len(m.of.Limits) > 0 {
			own[m.of.Tenant] = ratelimit.Own{Quotas: m.of.Limits, Report: m.of.LimitsReport}
		}
	}
	s.limits.Follow(own)
	s.table.Store(next)
}

// tableOf makes the table. What has not changed is taken from the last one, with
// the tokens that it has verified.
func (s *server) tableOf(list []resource.Resource, last *table) (*table, error) {
	all, err := s.own()
	if err != nil {
		return nil, err
	}
	owned := map[oauth.Resource]int{}
	for i, r := range all {
		owned[r.Canonical] = i
	}
	for _, r := range list {
		i, ours := owned[r.Canonical]
		switch {
		case !ours:
			all = append(all, r)
		case r.Issuer != s.config.Issuer:
			s.log.Error("the authorization server names another issuer for this server's resource than ISSUER does: its policy is not known here",
				"resource", r.Canonical.String(), "issuer", r.Issuer.String())
		default:
			r.KeysURL = s.config.JWKSURL
			all[i] = r
		}
	}
	t := newTable()
	whole := map[string]int{} // resources of everything, by origin
	for _, r := range all {
		if err := s.add(t, last, r); err != nil {
			return nil, fmt.Errorf("mounting %s: %w", r.Canonical, err)
		}
		if r.Product == "" {
			whole[r.Canonical.Origin()]++
		}
	}
	for i, m := range t.all {
		// Clients that know nothing better find the resource of everything: of the
		// settings at their host, elsewhere if there is but one.
		origin := m.of.Canonical.Origin()
		if m.of.Product == "" && metadata.Path(m.of.Canonical) != metadata.RootPath && (i == 0 || whole[origin] == 1) {
			t.about[metadata.RootPath] = append(t.about[metadata.RootPath], m)
		}
	}
	return t, nil
}

func (s *server) add(t, last *table, r resource.Resource) error {
	keys := s.keysAt(r.KeysURL, t, last)
	m := last.of[r.Canonical.String()]
	if m == nil || !reflect.DeepEqual(m.of, r) {
		var err error
		if m, err = s.mount(r, keys); err != nil {
			return err
		}
	}
	path, document := r.Canonical.Path(), metadata.Path(r.Canonical)
	if path == "" {
		path = "/"
	}
	t.all, t.of[r.Canonical.String()] = append(t.all, m), m
	t.at[path], t.about[document] = append(t.at[path], m), append(t.about[document], m)
	_, host, _ := strings.Cut(r.Canonical.Origin(), "://")
	t.hosts[host] = true
	return nil
}

func (s *server) keysAt(url string, t, last *table) *accesstoken.RemoteKeys {
	keys := t.keys[url]
	if keys == nil {
		keys = last.keys[url]
	}
	switch {
	case keys != nil:
	case url == s.config.JWKSURL:
		keys = s.keys
	default:
		keys = &accesstoken.RemoteKeys{URL: url, HTTP: s.direct}
	}
	t.keys[url] = keys
	return keys
}

// find is the resource for a Host among those at a path: whose very own it is. A
// Host that is no resource's very own gets one that answers for it too, else any,
// whose guard refuses. All it chooses is which issuer and audience a token must
// have.
func (t *table) find(candidates []*mounted, host string) *mounted {
	for _, m := range candidates {
		if m.guard.Owns(host) {
			return m
		}
	}
	if t.hosts[strings.ToLower(host)] {
		return nil
	}
	for _, m := range candidates {
		if m.guard.Admits(host) {
			return m
		}
	}
	if len(candidates) > 0 {
		return candidates[0]
	}
	return nil
}

// answers reports whether a resource answers for a Host value that is no other
// resource's very own.
func (t *table) answers(m *mounted, host string) bool {
	return m.guard.Admits(host) && t.find([]*mounted{m}, host) == m
}
