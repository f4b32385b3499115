package ratelimit

import (
	"crypto/sha256"
	"net/netip"

	"github.com/google/uuid"
)

// Key is who or what is counted under a limit: a hash, of one length whatever
// went in.
type Key [16]byte

func key(kind string, parts ...[]byte) Key {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, p := range parts {
		h.Write([]byte{0, byte(len(p) >> 8), byte(len(p))})
		h.Write(p)
	}
	return Key(h.Sum(nil)[:16])
}

// address is what one customer of a provider has: an IPv4 address or an IPv6 /64.
// Nobody's address, the zero one, is one bucket for all who have none.
func address(a netip.Addr) []byte { return masked(a, 32, 64) }

// network is what one customer of a provider can easily have more of: an IPv4 /24
// or an IPv6 /48.
func network(a netip.Addr) []byte { return masked(a, 24, 48) }

func masked(a netip.Addr, bits4, bits6 int) []byte {
	if a = a.Unmap().WithZone(""); !a.IsValid() {
		return nil
	}
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, _ := a.Prefix(bits)
	return p.Addr().AsSlice()
}

// Address counts an address.
func Address(a netip.Addr) Key { return key("address", address(a)) }

// Network counts the network around an address.
func Network(a netip.Addr) Key { return key("network", network(a)) }

// AddressClient counts what a client, or who says to be one, sends from an address.
// Two clients at one address, such as those of a large hosted client, are two.
func AddressClient(a netip.Addr, clientID string) Key {
	return key("address client", address(a), []byte(clientID))
}

// Person counts a person, by subject id.
func Person(subject uuid.UUID) Key { return key("person", subject[:]) }

// PersonTool counts a person's use of a tool, by the name that the resource server
// has authenticated itself to say.
func PersonTool(subject uuid.UUID, tool string) Key {
	return key("person tool", subject[:], []byte(tool))
}

// All counts everyone together: a tenant, or the deployment.
func All() Key { return key("all") }
