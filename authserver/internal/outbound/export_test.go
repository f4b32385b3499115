package outbound

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	MaxAtOnce, MaxForKnown, MaxPerHost = maxAtOnce, maxForKnown, maxPerHost
	MaxPerNetwork                      = maxPerNetwork
	StrangersRate, StrangersBurst      = strangersRate, strangersBurst
	SourceBurst, HostBurst             = sourceBurst, hostBurst
	MaxRemembered                      = maxRemembered
	Total, ResolveTime, HandshakeTime  = total, resolveTime, handshakeTime
	SlotWait                           = slotWait
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

// Freshness is how long a response with these headers stays fresh.
func Freshness(h http.Header, now time.Time) time.Duration { return freshness(h, now) }

// Resolve makes the fetcher ask another resolver.
func (f *Fetcher) Resolve(r *net.Resolver) { f.dialer.Resolver = r }

// Patient gives a fetch a minute, and its parts too: on the real clock, where a
// busy machine may stop for seconds, for what is not about time.
func (f *Fetcher) Patient() {
	f.PatientInAll()
	f.dialer.Timeout = time.Minute
	transport := f.http.Transport.(*http.Transport)
	transport.TLSHandshakeTimeout, transport.ResponseHeaderTimeout = time.Minute, time.Minute
}

// PatientInAll gives a fetch a minute, and its parts what they have.
func (f *Fetcher) PatientInAll() { f.total = time.Minute }

// AfterControl makes the fetcher call next with each address that its check let
// through, before anything is sent there. An error of next ends the attempt.
func (f *Fetcher) AfterControl(next func(address string) error) {
	f.dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := f.control(network, address, c); err != nil {
			return err
		}
		return next(address)
	}
}

// Unguarded puts next in the place of the check of addresses: what the fetcher
// then does is what the check prevents.
func (f *Fetcher) Unguarded(next func(address string) error) {
	f.dialer.Control = func(_, address string, _ syscall.RawConn) error { return next(address) }
}

// Dial replaces resolving, checking and connecting.
func (f *Fetcher) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	f.connect = dial
}
