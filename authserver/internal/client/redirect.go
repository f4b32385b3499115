package client

import (
	"net/url"
	"strconv"
	"strings"

	"latchkey/pkg/oauth"
)

// MatchRedirect reports whether a requested redirect URI is one of the
// registered ones. It is the one place of this rule, for the authorization
// request and the registration of exceptions alike.
//
// Simple string comparison (OAuth 2.1 §2.3.1, RFC 9700 §2.1), with one
// exception: the port of an http redirect to the loopback interface may differ
// (RFC 8252 §7.3); localhost is treated like the loopback literals, because
// clients register it without a port (PROTOCOL 3.6 no. 6).
func (c *Client) MatchRedirect(requested string) bool {
	for _, registered := range c.RedirectURIs {
		if requested == registered && cleanURI(requested) {
			return true
		}
		if sameButPort(registered, requested) {
			return true
		}
	}
	return false
}

// sameButPort compares two http loopback URIs, ports aside.
func sameButPort(registered, requested string) bool {
	a, ok := splitLoopback(registered)
	if !ok {
		return false
	}
	b, ok := splitLoopback(requested)
	return ok && a == b
}

type loopback struct{ host, rest string }

// splitLoopback takes http://host[:port]rest apart by hand: what is compared is
// the text itself, so two parsers cannot disagree about it.
func splitLoopback(s string) (loopback, bool) {
	after, ok := strings.CutPrefix(s, "http://")
	if !ok || !cleanURI(s) {
		return loopback{}, false
	}
	end := strings.IndexAny(after, "/?")
	if end < 0 {
		end = len(after)
	}
	authority, rest := after[:end], after[end:]
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return loopback{}, false
		}
	}
	name, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if name, ok = strings.CutSuffix(name, "]"); !ok {
			return loopback{}, false
		}
	}
	if !oauth.LoopbackHost(name) || bracketed != strings.Contains(name, ":") {
		return loopback{}, false
	}
	return loopback{host, rest}, true
}

// cleanURI refuses what parsers read differently: user information, fragments,
// backslashes, control and non-ASCII characters, a percent sign in the
// authority, a port that does not exist (PEERS A6). It leaves path and query alone.
func cleanURI(s string) bool {
	if s == "" || len(s) > oauth.MaxURLBytes {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Fragment != "" || u.Scheme == "" {
		return false
	}
	if port := u.Port(); port != "" { // Go reads any number, a browser none beyond 65535
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	_, after, hasAuthority := strings.Cut(s, "://")
	if hasAuthority {
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		return !strings.ContainsAny(after[:end], "%@")
	}
	return true
}

// ErrorOfRedirect says in words what is wrong with a redirect URI at
// registration, "" if nothing is. schemes are the exact private-use URIs that
// the operator allows (RFC 8252 §7.1, PROTOCOL AS-R7).
func ErrorOfRedirect(s string, allowed []string) string {
	for _, a := range allowed {
		if s == a {
			return ""
		}
	}
	if !cleanURI(s) {
		return "must be an absolute URI without fragment, user information and special characters, and with a port that there is"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return "must be an absolute https URI, or http on localhost"
	case u.Scheme == "https":
		if strings.HasSuffix(u.Hostname(), ".") || u.Hostname() == "" {
			return "must name a host"
		}
		return ""
	case u.Scheme == "http":
		if _, ok := splitLoopback(s); ok {
			return ""
		}
		return "may use http only on localhost, 127.0.0.1 or [::1]"
	}
	return "uses a custom scheme that is not allowed on this server"
}
