package tenant

import "context"

type contextKey struct{}

// WithTenant returns a context that belongs to the tenant. The router calls it
// once per request.
func WithTenant(ctx context.Context, t *Tenant) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the request's tenant. It panics when there is none: a
// handler mounted outside the tenant router must not fall back to any tenant.
func FromContext(ctx context.Context) *Tenant {
	return ctx.Value(contextKey{}).(*Tenant)
}
