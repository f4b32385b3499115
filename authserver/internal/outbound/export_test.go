package outbound

import (
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// CheckURL is where a fetcher without exceptions would go.
func CheckURL(s string) (string, error) { return (&Fetcher{}).checkURL(s) }

// Control is the check of an address at dial time.
func Control(address string) error {
	network := "tcp4"
	if strings.HasPrefix(address, "[") {
		network = "tcp6"
	}
	return (&Fetcher{}).control(network, address, nil)
}

// Resolve replaces the resolver.
func (f *Fetcher) Resolve(r *net.Resolver) { f.dialer.Resolver = r }

// Passed collects the addresses that the check at dial time lets pass.
func (f *Fetcher) Passed() *[]string {
	var mu sync.Mutex
	passed := &[]string{}
	inner := f.dialer.Control
	f.dialer.Control = func(network, address string, c syscall.RawConn) error {
		err := inner(network, address, c)
		if err == nil {
			mu.Lock()
			*passed = append(*passed, address)
			mu.Unlock()
		}
		return err
	}
	return passed
}

// Freshness is freshness.
var Freshness = freshness

// Total shortens the limit of a whole fetch, for one test binary.
func Total(d time.Duration) { total = d }
