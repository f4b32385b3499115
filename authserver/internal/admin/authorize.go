package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/text"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// call is a request of an administrator that may be served.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	route  *Route
	who    *Administrator
	tenant tenant.ID // of the path; zero for routes without
	slug   string
}

func (c *call) ctx() context.Context { return c.r.Context() }

// defaultKeys are the keys of the API's tokens: the default tenant's.
type defaultKeys struct{ api *API }

// Key implements accesstoken.KeySource.
func (k defaultKeys) Key(ctx context.Context, kid string) (jose.JSONWebKey, error) {
	set, err := k.api.Keys(ctx, tenant.DefaultID)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return set.Key(ctx, kid)
}

// authorize decides about a request: token, administrator, scope, tenant, in this
// order. It is the only place that does.
func (a *API) authorize(w http.ResponseWriter, r *http.Request, route *Route) (*call, error) {
	who, scopes, err := a.authenticate(r)
	var problem *web.ProblemError
	if errors.As(err, &problem) && problem.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="latchkey admin", error="invalid_token"`) // RFC 6750 §3
	}
	if err != nil {
		return nil, err
	}
	httpx.Annotate(r.Context(), slog.String("administrator", who.ID))
	request := audit.FromContext(r.Context())
	request.Actor = audit.Administrator(who.ID)
	c := &call{w: w, r: r.WithContext(audit.WithRequest(r.Context(), request)), route: route, who: who}
	if !scopes.Contains(route.Scope) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="latchkey admin", error="insufficient_scope", scope=%q`, route.Scope))
		return nil, forbidden("insufficient_scope", "This needs the scope "+route.Scope+".")
	}
	if err := a.takesPart(who); err != nil {
		return nil, err
	}
	if err := a.resolve(c); err != nil {
		return nil, err
	}
	if route.Everywhere && !who.Everywhere {
		return nil, forbidden("deployment_only", "This is for administrators of the whole deployment.")
	}
	return c, nil
}

// authenticate returns the token's administrator as stored now, so that a token
// ends with it, and the scopes that both have.
func (a *API) authenticate(r *http.Request) (*Administrator, oauth.Scopes, error) {
	refused := func(cause error) (*Administrator, oauth.Scopes, error) {
		return nil, oauth.Scopes{}, &web.ProblemError{Status: http.StatusUnauthorized, Code: "invalid_token", Detail: "A token of POST " + TokenPath + " is needed, as Authorization: Bearer.", Cause: cause}
	}
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return refused(errors.New("not one Authorization header"))
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return refused(errors.New("not a bearer token"))
	}
	p, err := a.verifier.Verify(r.Context(), token)
	if errors.Is(err, accesstoken.ErrInvalid) {
		return refused(err)
	}
	if err != nil {
		return nil, oauth.Scopes{}, oauth.Unavailable(err)
	}
	who, err := a.Store.Administrator(r.Context(), p.ClientID)
	if errors.Is(err, ErrNoAdministrator) || err == nil && who.Tenant.String() != p.Tenant {
		return refused(errors.Join(errors.New("the administrator is gone"), err))
	}
	if err != nil {
		return nil, oauth.Scopes{}, oauth.Unavailable(err)
	}
	return who, p.Scopes.Intersect(who.Scopes), nil
}

// resolve finds the tenant of the path. Another's is as absent as one that does
// not exist.
func (a *API) resolve(c *call) error {
	if !text.Valid(c.r.URL.Path) {
		return notFound("There is nothing here.")
	}
	c.slug = c.r.PathValue("tenant")
	if c.slug == "" {
		return nil
	}
	id, err := a.TenantID(c.ctx(), c.slug)
	if err != nil && !errors.Is(err, operator.ErrNotFound) {
		return oauth.Unavailable(err)
	}
	if err != nil || !c.who.Everywhere && id != c.who.Tenant {
		return notFound("There is no such tenant.")
	}
	httpx.Annotate(c.ctx(), slog.String("tenant", id.String()))
	c.tenant = id
	return nil
}
