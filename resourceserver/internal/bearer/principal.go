package bearer

import (
	"context"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// Principal is who a request speaks for. Only Guard makes one.
type Principal struct {
	accesstoken.Principal
	Token    secret.Text    // as the client sent it; it goes to the exchange and nowhere else
	Resource oauth.Resource // whom the token is for: the endpoint that was called
}

type principalKey struct{}

// From returns the principal of a request that passed the guard, nil
// elsewhere.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

func withPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}
