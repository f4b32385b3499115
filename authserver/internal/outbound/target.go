package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrRefused says that a URL or the address behind it is not allowed: a
// verdict, nothing was sent.
var ErrRefused = errors.New("address is not allowed")

const maxURL = 2048

// checkURL reads the text by hand before any parser does, so that no two parsers
// can disagree about where it leads. It returns host:port.
func (f *Fetcher) checkURL(raw string) (string, error) {
	refuse := func(why string) (string, error) { return "", fmt.Errorf("%w: %s", ErrRefused, why) }
	rest, ok := strings.CutPrefix(raw, "https://")
	if !ok || len(raw) > maxURL {
		return refuse("not an https URL of at most 2048 bytes")
	}
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return refuse("the URL has a character that parsers read differently")
		}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	u, err := url.Parse(raw)
	if err != nil || u.Host != authority || u.User != nil {
		return refuse("the URL's host is ambiguous")
	}
	if slices.Contains(f.allow, authority) {
		return authority, nil
	}
	name := strings.TrimSuffix(authority, ":443")
	if !publicName(name) {
		return refuse("the host is not a public DNS name at port 443")
	}
	return name + ":443", nil
}

// publicName reports whether a host is a DNS name that can be public: letters,
// digits and hyphens, at least one dot, and a last label that is no number, as
// every spelling of an IPv4 address has (WHATWG URL, host parsing).
func publicName(name string) bool {
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if c := l[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	if last[0] >= '0' && last[0] <= '9' {
		return false
	}
	switch last { // RFC 6761, RFC 6762, RFC 9476: never in the public DNS
	case "localhost", "local", "internal", "test", "invalid", "example", "onion", "alt", "arpa", "lan", "home", "corp":
		return false
	}
	return true
}

// guard refuses addresses at dial time. The library knows IANA's special-purpose
// registries and everything outside global unicast; what it lacks is added.
var guard = ssrf.New(
	ssrf.WithPorts(443),
	ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")), // Azure's host agent, a public address
)

// control is net.Dialer's Control: it sees the address that is really dialled.
func (f *Fetcher) control(network, address string, c syscall.RawConn) error {
	if slices.Contains(f.allowAddrs, address) {
		return nil
	}
	if err := guard.Safe(network, address, c); err != nil {
		return fmt.Errorf("%w: it is not a public address", ErrRefused)
	}
	if at, err := netip.ParseAddrPort(address); err != nil || embedsIPv4(at.Addr()) {
		return fmt.Errorf("%w: it is not a public address", ErrRefused)
	}
	return nil
}

// embedsIPv4 reports whether an IPv6 address carries an IPv4 address to which a
// router may forward it: ISATAP (RFC 5214 §6.1) in any prefix. NAT64, 6to4,
// Teredo and mapped addresses are outside what the guard lets through.
func embedsIPv4(a netip.Addr) bool {
	if !a.Is6() {
		return false
	}
	b := a.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
