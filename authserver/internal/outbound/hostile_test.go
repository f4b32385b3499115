package outbound_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"latchkey/authserver/internal/outbound"
)

// TestHostileURLs: AS-C11, A12: what is not a public DNS name at port 443 is refused before anything is resolved.
func TestHostileURLs(t *testing.T) {
	t.Parallel()
	f, err := outbound.New(outbound.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, u := range hostileURLs {
		if _, err := f.Get(ctx, outbound.Request{URL: u, Limit: 1}); !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// TestHostileAddresses: AS-C11, A12: whatever a name resolves to is judged when it is dialled, after DNS: a rebinding name has
// no second chance.
func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	for _, a := range hostileAddresses {
		if err := outbound.Control(netip.AddrPortFrom(netip.MustParseAddr(a), 443).String()); !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, public := range []string{"8.8.8.8:443", "1.1.1.1:443", "[2606:4700:4700::1111]:443"} {
		if err := outbound.Control(public); err != nil {
			t.Errorf("%s: %v", public, err)
		}
	}
	for _, port := range []string{"8.8.8.8:80", "8.8.8.8:22", "8.8.8.8:5432"} {
		if err := outbound.Control(port); !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%s: %v", port, err)
		}
	}
	if _, err := outbound.New(outbound.Config{AllowHosts: []string{"10.0.0.1:443"}}); err == nil {
		t.Error("an exception beyond loopback was accepted")
	}
}
