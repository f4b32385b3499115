package outbound_test

import (
	"crypto/x509"
	"errors"
	"flag"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/authserver/internal/outbound"
)

// insideNamespace is set by the test itself when it starts itself again.
var insideNamespace = flag.Bool("inside-namespace", false, "count packets: this process has a network namespace of its own")

// counter tells where connections were opened. At the wire that is the kernel's
// word; elsewhere it is the dialer's, just before it would connect.
type counter struct {
	how   string
	drain func(t *testing.T) []netip.AddrPort // destinations since the last call
	after func(address string) error          // what the dialer calls before it connects
	roots *x509.CertPool
}

// fetcher has hostile names to go to, a clock that leaves no budget empty, and
// time enough on a busy machine.
func (c *counter) fetcher(t *testing.T, n *names) *outbound.Fetcher {
	t.Helper()
	var minutes atomic.Int64
	f, err := outbound.New(outbound.Config{RootCAs: c.roots, Now: func() time.Time { return time.Unix(60*minutes.Add(1), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	f.Patient()
	f.Resolve(n.resolver(t))
	if c.after != nil {
		f.AfterControl(c.after)
	}
	return f
}

// atDialer counts what the check lets through and holds it back there.
func atDialer() *counter {
	var mu sync.Mutex
	var opened []netip.AddrPort
	return &counter{
		how: "at the dialer",
		drain: func(*testing.T) []netip.AddrPort {
			mu.Lock()
			defer mu.Unlock()
			out := opened
			opened = nil
			return out
		},
		after: func(address string) error {
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, netip.MustParseAddrPort(address))
			return errors.New("held back on the way to " + address)
		},
	}
}

// TestNoConnectionLeaves counts connections while a fetcher is led to every
// hostile target: at the dialer, and, where the kernel grants a network
// namespace in which every address answers, on the wire.
func TestNoConnectionLeaves(t *testing.T) {
	t.Parallel()
	count := atDialer()
	if *insideNamespace {
		count = onWire(t)
	}
	get := func(t *testing.T, f *outbound.Fetcher, url string) error {
		t.Helper()
		_, err := f.Get(t.Context(), outbound.Request{URL: url, Limit: 100, Known: true})
		return err
	}
	ok := t.Run("AS-C11 A12 a hostile URL is not even resolved", func(t *testing.T) {
		n := newNames()
		f := count.fetcher(t, n)
		for _, u := range hostileURLs {
			if err := get(t, f, u); !errors.Is(err, outbound.ErrRefused) {
				t.Errorf("%q: %v", u, err)
			}
		}
		if opened := count.drain(t); len(opened) > 0 || n.questions() > 0 {
			t.Errorf("%d questions, connections %v", n.questions(), opened)
		}
		t.Logf("%s: %d URLs, 0 questions to DNS, 0 connections", count.how, len(hostileURLs))
	})
	ok = t.Run("AS-C11 A12 a name of special-use addresses gets no connection", func(t *testing.T) {
		n := newNames()
		f := count.fetcher(t, n)
		urls := n.addHostile()
		for _, u := range urls {
			err := get(t, f, u)
			if !errors.Is(err, outbound.ErrRefused) {
				t.Errorf("%s: %v", u, err)
				continue
			}
			for _, a := range hostileAddresses {
				if len(a) > 4 && strings.Contains(err.Error(), a) {
					t.Errorf("the error tells an address: %v", err)
				}
			}
		}
		opened := count.drain(t)
		if len(opened) > 0 || n.questions() < 2*len(urls) {
			t.Errorf("%d questions, connections %v", n.questions(), opened)
		}
		t.Logf("%s: %d names of %d hostile addresses (A, AAAA, mapped, mixed, all), %d questions to DNS, %d connections", count.how, len(urls), len(hostileAddresses), n.questions(), len(opened))
	}) && ok
	ok = t.Run("AS-C11 A12 a rebinding name is judged again at each fetch", func(t *testing.T) {
		n := newNames()
		f := count.fetcher(t, n)
		for _, inside := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254", "::ffff:127.0.0.1"} {
			name := "rebinding" + strings.NewReplacer(".", "-", ":", "-").Replace(inside) + "z.example.com"
			n.add(name, []netip.Addr{publicV4}, []netip.Addr{netip.MustParseAddr(inside)})
			first := get(t, f, "https://"+name+"/")
			if errors.Is(first, outbound.ErrRefused) {
				t.Errorf("%s: the public address is refused: %v", inside, first)
			}
			if opened := count.drain(t); !slices.Equal(opened, []netip.AddrPort{netip.AddrPortFrom(publicV4, 443)}) {
				t.Errorf("%s: the first fetch went to %v", inside, opened)
			}
			for range 3 {
				if err := get(t, f, "https://"+name+"/"); !errors.Is(err, outbound.ErrRefused) {
					t.Errorf("%s: %v", inside, err)
				}
			}
			if opened := count.drain(t); len(opened) > 0 {
				t.Errorf("%s: later fetches went to %v", inside, opened)
			}
		}
	}) && ok
	ok = t.Run("AS-C11 A12 of public and special addresses in one answer only the public ones are tried", func(t *testing.T) {
		for _, public := range []netip.Addr{publicV4, publicV6} {
			n := newNames()
			f := count.fetcher(t, n)
			for i, hostile := range hostileAddresses {
				name := n.add("half"+string(rune('a'+i/26))+string(rune('a'+i%26))+".example.com", []netip.Addr{netip.MustParseAddr(hostile), public})
				err := get(t, f, "https://"+name+"/")
				if err != nil && strings.Contains(err.Error(), public.String()) {
					t.Errorf("the error tells an address: %v", err)
				}
			}
			opened := count.drain(t)
			if slices.ContainsFunc(opened, func(a netip.AddrPort) bool { return a != netip.AddrPortFrom(public, 443) }) {
				t.Errorf("beside %s: connections %v", public, opened)
			}
			t.Logf("%s: %d answers, %d connections to %s, 0 to special addresses", count.how, len(hostileAddresses), len(opened), public)
		}
	}) && ok
	ok = t.Run("A12 a public address is counted, and without the check hostile ones are", func(t *testing.T) {
		n := newNames()
		f := count.fetcher(t, n)
		for _, public := range []netip.Addr{publicV4, publicV6} {
			err := get(t, f, "https://"+n.add("public-"+strings.NewReplacer(".", "-", ":", "-").Replace(public.String())+".example.com", []netip.Addr{public})+"/")
			if *insideNamespace && err != nil {
				t.Errorf("%s: %v", public, err)
			}
			if opened := count.drain(t); !slices.Equal(opened, []netip.AddrPort{netip.AddrPortFrom(public, 443)}) {
				t.Errorf("%s: the counter saw %v", public, opened)
			}
		}
		next := count.after
		if next == nil {
			next = func(string) error { return nil }
		}
		f.Unguarded(next)
		for _, u := range n.addHostile() {
			_ = get(t, f, u) // what comes of it does not matter: it is counted
		}
		opened := count.drain(t)
		reached := map[netip.Addr]bool{}
		for _, a := range opened {
			reached[a.Addr().Unmap()] = true
		}
		var not []string
		for _, a := range hostileAddresses {
			if !reached[netip.MustParseAddr(a).Unmap()] {
				not = append(not, a)
			}
		}
		// The kernel opens none to groups, broadcast and fe80::/10 without a zone; 0.0.0.0 and :: arrive at loopback.
		if len(not) > 10 {
			t.Errorf("a counter that misses %v proves nothing", not)
		}
		t.Logf("%s: without the check %d connections to %d hostile addresses; never one to %v", count.how, len(opened), len(reached), not)
	}) && ok
	if ok && !*insideNamespace {
		t.Run("AS-C11 A12 all of it again in a network namespace, counting SYN packets", inNamespace)
	}
}
