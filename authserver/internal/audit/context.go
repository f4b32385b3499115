package audit

import (
	"context"
	"net/http"
	"net/netip"

	"latchkey/pkg/httpx"
)

// Request is what the trail keeps of the request behind an act.
type Request struct {
	ID     string
	Source string // network of the client's address, "" if unknown
	Actor  Actor  // who acts, where the act itself does not say; "" then
}

type requestKey struct{}

// FromContext returns what is known of the request that a context belongs to.
func FromContext(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	if r.ID == "" {
		r.ID = httpx.RequestID(ctx)
	}
	return r
}

// WithRequest makes the acts of a context those of r.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// ActorOr is the request's actor, or the given one.
func (r Request) ActorOr(a Actor) Actor {
	if r.Actor != "" {
		return r.Actor
	}
	return a
}

// Observe notes where requests come from. It stands inside httpx.Observe, which
// gives them their id.
func Observe(proxies httpx.Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(WithRequest(r.Context(), Request{Source: network(proxies.Client(r))})))
	})
}

// The trail keeps the network of an address, not the address: enough to see
// that two acts came from different places, too little to name a household.
const bits4, bits6 = 24, 48

func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	bits := bits6
	if a = a.Unmap(); a.Is4() {
		bits = bits4
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}
