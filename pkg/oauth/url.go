package oauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxURLBytes bounds every URL that a peer may send.
const MaxURLBytes = 2048

// IssuerURL is an authorization server's issuer identifier: one configured
// string, byte-identical wherever it appears (DESIGN §1.8, RFC 8414 §2). Only
// ParseIssuerURL makes one.
type IssuerURL struct{ value string }

// ParseIssuerURL checks an issuer identifier: https (http only on loopback),
// no query, no fragment, no user information, no trailing slash.
func ParseIssuerURL(s string) (IssuerURL, error) {
	u, err := parseAbsolute(s)
	if err != nil {
		return IssuerURL{}, fmt.Errorf("issuer %s: %w", ShownURL(s), err)
	}
	if u.RawQuery != "" || u.ForceQuery || strings.HasSuffix(s, "/") {
		return IssuerURL{}, fmt.Errorf("issuer %s: must have no query and no trailing slash", ShownURL(s))
	}
	return IssuerURL{s}, nil
}

// String returns the configured string, unchanged.
func (i IssuerURL) String() string { return i.value }

// IsZero reports whether no issuer was set.
func (i IssuerURL) IsZero() bool { return i.value == "" }

// Endpoint returns the issuer with a path appended, as DESIGN §3 lays out.
func (i IssuerURL) Endpoint(path string) string { return i.value + path }

// Path returns the issuer's path, "" for a bare origin.
func (i IssuerURL) Path() string { return pathOf(i.value) }

// Origin returns scheme://host[:port] of the issuer.
func (i IssuerURL) Origin() string { return strings.TrimSuffix(i.value, pathOf(i.value)) }

// Secure reports whether the issuer is https.
func (i IssuerURL) Secure() bool { return strings.HasPrefix(i.value, "https://") }

// WellKnown returns the path-inserted well-known path of RFC 8414 §3.1:
// /.well-known/<name>[/path].
func (i IssuerURL) WellKnown(name string) string { return "/.well-known/" + name + i.Path() }

// Resource is a protected resource's canonical identifier (RFC 8707 §2,
// RFC 9728 §1.2), the only audience of a token. Only ParseResource makes one.
type Resource struct{ value string }

// ParseResource checks a resource identifier: an absolute https URI (http only
// on loopback) without fragment, query, user information or trailing slash.
func ParseResource(s string) (Resource, error) {
	u, err := parseAbsolute(s)
	if err != nil {
		return Resource{}, fmt.Errorf("resource %s: %w", ShownURL(s), err)
	}
	if u.RawQuery != "" || u.ForceQuery || strings.HasSuffix(s, "/") {
		return Resource{}, fmt.Errorf("resource %s: must have no query and no trailing slash", ShownURL(s))
	}
	return Resource{s}, nil
}

// String returns the canonical identifier.
func (r Resource) String() string { return r.value }

// IsZero reports whether no resource was set.
func (r Resource) IsZero() bool { return r.value == "" }

// Path returns the resource's path, "" for a bare origin.
func (r Resource) Path() string { return pathOf(r.value) }

// Origin returns scheme://host[:port] of the resource.
func (r Resource) Origin() string { return strings.TrimSuffix(r.value, pathOf(r.value)) }

// MetadataURL is the path-inserted location of the RFC 9728 §3.1 document.
func (r Resource) MetadataURL() string {
	return r.Origin() + "/.well-known/oauth-protected-resource" + r.Path()
}

var errAbsolute = errors.New("must be an absolute https URL without user information and fragment (http only on loopback)")

func parseAbsolute(s string) (*url.URL, error) {
	if s == "" || len(s) > MaxURLBytes {
		return nil, errAbsolute
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(s, "#\\ \t\r\n") {
		return nil, errAbsolute
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && LoopbackHost(u.Hostname()):
	default:
		return nil, errAbsolute
	}
	if u.Hostname() != strings.ToLower(u.Hostname()) || u.String() != s {
		return nil, errors.New("must be in its normal form: lower-case host, nothing needlessly escaped")
	}
	return u, nil
}

// ShownURL is how an error may repeat what was to be a URL: in quotes, and not at all
// where an "@" says that a user's password may be in it. It does not ask a parser:
// "/", "?" or "#" in a password make the rest of it look like something else. Of a
// query or a fragment, which may hold a key, it says that there is one.
func ShownURL(s string) string {
	if strings.Contains(s, "@") {
		return "(not shown: it may hold a password)"
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i+1] + "…"
	}
	return strconv.Quote(s)
}

// LoopbackHost reports whether a host name (without port) is this machine:
// localhost, 127.0.0.0/8 or ::1, and nothing that merely begins like it.
func LoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && a.IsLoopback() && !a.Is4In6()
}

func pathOf(s string) string {
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}
