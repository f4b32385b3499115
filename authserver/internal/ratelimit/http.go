package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
)

// Endpoint is what is asked of every request at a path. The zero Endpoint is no
// endpoint.
type Endpoint struct {
	address Name
	client  Name                         // 0: no client is known here (RegisterAddress is no client's)
	named   func(r *http.Request) string // the client, where the link says it
	fresh   bool                         // registrations: tenant and network are counted too
}

// The endpoints. At those of a client that authenticates, its limit is asked about
// when its name is known: by ByClient.
var (
	Registration  = Endpoint{address: RegisterAddress, fresh: true}
	Management    = Endpoint{address: ManageAddress}
	Authorization = Endpoint{address: AuthorizeAddress, client: AuthorizeClient, named: func(r *http.Request) string { return r.URL.Query().Get("client_id") }}
	Forms         = Endpoint{address: FormsAddress}
	Pages         = Endpoint{address: PagesAddress}
	Callback      = Endpoint{address: CallbackAddress}
	Token         = Endpoint{address: TokenAddress, client: TokenClient}
	Push          = Endpoint{address: PushAddress, client: PushClient}
	Introspection = Endpoint{address: IntrospectAddress, client: IntrospectClient}
	Revocation    = Endpoint{address: RevokeAddress, client: RevokeClient}
	Admin         = Endpoint{address: AdminAddress}
	AdminToken    = Endpoint{address: AdminTokenAddress}
)

// visit is a request on its way through the limits.
type visit struct {
	limiter  *Limiter
	endpoint Endpoint
	address  netip.Addr
	header   http.Header
	state    ratelimit.State // the tightest so far
}

type visitKey struct{}

// Guard asks about the limits of an endpoint before anything of the request is
// read, and tells in headers where the client stands.
func (l *Limiter) Guard(e Endpoint, h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		v := &visit{limiter: l, endpoint: e, header: w.Header()}
		v.address, _ = netip.ParseAddr(l.Proxies.Client(r)) // none: all who have none are one
		ctx := context.WithValue(r.Context(), visitKey{}, v)
		var t *tenant.Tenant // Google's callback has none yet
		if e.named != nil || e.fresh {
			t = tenant.FromContext(ctx)
		}
		asks := []Ask{{e.address, Address(v.address)}}
		if e.named != nil {
			asks = append(asks, Ask{e.client, AddressClient(v.address, e.named(r))})
		}
		around := Ask{RegisterNetwork, Network(v.address)}
		if e.fresh {
			asks = append(asks, around)
		}
		if err := v.take(ctx, t, asks...); err != nil {
			return err
		}
		if e.fresh { // how much the network has asked for is known by now
			if err := v.take(ctx, t, Ask{l.either(RegisterFresh, RegisterBusy, around), All()}); err != nil {
				return err
			}
		}
		return h(w, r.WithContext(ctx))
	}
}

// take asks, sets the headers and makes the answer of a refusal.
func (v *visit) take(ctx context.Context, t *tenant.Tenant, asks ...Ask) error {
	state, err := v.limiter.Take(ctx, t, asks...)
	var exceeded *Exceeded
	if errors.As(err, &exceeded) {
		exceeded.State.SetHeader(v.header)
		return refused(ctx, exceeded)
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	if !state.Limit.Off() && (v.state.Limit.Off() || state.Tighter(v.state)) {
		v.state = state
		state.SetHeader(v.header)
	}
	return nil
}

// refused is 429 (RFC 6585 §4) with a code that RFC 6749 knows and clients take for
// what it is. slow_down (RFC 8628) is unknown to MCP's TypeScript SDK, which then
// begins a new sign-in; invalid_grant and invalid_client would end the old one.
func refused(ctx context.Context, e *Exceeded) error {
	httpx.Annotate(ctx, slog.String("limit", e.State.Limit.Name))
	return &oauth.Error{
		Code: oauth.TemporarilyUnavailable, Status: http.StatusTooManyRequests, RetryAfter: e.State.Retry, Cause: e,
		Description: "Too many requests. Wait, then try again; nothing has ended.",
	}
}

// Source is the address that ctx's request came from, "" outside Guard.
func Source(ctx context.Context) string {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok || !v.address.IsValid() {
		return ""
	}
	return v.address.String()
}

// ByClient asks about the limit of a client at the endpoint that ctx's request came
// to, by the name it gives and before that is believed.
func ByClient(ctx context.Context, t *tenant.Tenant, clientID string) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok || v.endpoint.client == 0 {
		return nil
	}
	return v.take(ctx, t, Ask{v.endpoint.client, AddressClient(v.address, clientID)})
}

// Admit asks about a limit of a tenant as a whole at the endpoint that ctx's request
// came to, and answers as Guard does.
func (l *Limiter) Admit(ctx context.Context, of tenant.ID, limit Name) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return nil
	}
	return v.take(ctx, &tenant.Tenant{ID: of}, Ask{limit, All()})
}

// Guessed counts what nobody was given: under GuessClient a credential, under
// GuessToken a code or refresh token. It returns the answer: 429 after many,
// otherwise cause. What was really given is never refused for guesses, so nobody can
// lock a client out (OAuth 2.1 §2.4.1): the secrets are too long to be guessed, and
// this only shows and slows who tries. Nor does one who guesses elsewhere keep a
// client from hearing that it must register or sign in again.
func Guessed(ctx context.Context, t *tenant.Tenant, what Name, clientID string, cause error) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok {
		return cause
	}
	err := v.take(ctx, t, Ask{GuessAddress, Address(v.address)}, Ask{what, AddressClient(v.address, clientID)})
	var answer *oauth.Error
	if errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests {
		return answer.WithCause(errors.Join(answer.Cause, cause))
	}
	return cause
}
