package httpx

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of the reverse proxies in front of a server. Only
// what they say about a client's address is believed; the zero value believes
// nobody (PEERS A25).
type Proxies []netip.Prefix

// maxForwarded bounds how many entries of X-Forwarded-For are looked at.
const maxForwarded = 32

// ParseProxies parses networks in CIDR form, or single addresses, separated by
// commas.
func ParseProxies(s string) (Proxies, error) {
	var p Proxies
	for field := range strings.SplitSeq(s, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		if addr, err := netip.ParseAddr(field); err == nil {
			p = append(p, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(field)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8", field)
		}
		p = append(p, prefix.Masked())
	}
	return p, nil
}

func (p Proxies) contain(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the address of a request's client: of the connection, or, as
// long as that is one of the proxies, the last entry of X-Forwarded-For that is
// none. "" if there is no address.
func (p Proxies) Client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	client := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxForwarded && p.contain(client); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = next.Unmap()
	}
	return client.String()
}
