package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"latchkey/authserver/internal/account"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	wire "latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// Public is the route table of the public listener. Machine endpoints have
// CORS and JSON errors; the authorization endpoint and pages have neither.
func (s *Server) Public(log *slog.Logger) http.Handler {
	// Tenant-relative: the router has cut /t/<slug> off and put the tenant into
	// the context.
	per := http.NewServeMux()
	machine := func(path, allow string, limit ratelimit.Endpoint, h httpx.HandlerFunc, methods ...string) {
		per.Handle(path, web.CORS(allow, web.OAuthJSON(web.Methods(s.limits.Guard(limit, serving(h)), methods...))))
	}
	machine("/token", "POST", ratelimit.Token, s.provider.Token, http.MethodPost)
	machine("/revoke", "POST", ratelimit.Revocation, s.provider.Revoke, http.MethodPost)
	machine("/introspect", "POST", ratelimit.Introspection, s.provider.Introspect, http.MethodPost)
	machine("/par", "POST", ratelimit.Push, s.flow.Push, http.MethodPost)
	machine("/register", "POST", ratelimit.Registration, s.registration.Register, http.MethodPost)
	machine("/register/{id}", "GET, PUT, DELETE", ratelimit.Management, s.registration.Manage, http.MethodGet, http.MethodPut, http.MethodDelete)
	per.Handle("GET /authorize", web.Authorize(s.limits.Guard(ratelimit.Authorization, serving(s.flow.Authorize))))
	per.Handle("POST /authorize/consent", sameOrigin(web.Authorize(s.limits.Guard(ratelimit.Forms, serving(s.flow.Consent)))))
	// Keys and metadata say nothing about whether a tenant is suspended.
	per.Handle("/jwks", web.CORS("GET", web.OAuthJSON(web.Methods(s.discovery.JWKS, http.MethodGet))))
	per.Handle("GET /account", web.Page(s.limits.Guard(ratelimit.Pages, serving(s.account.Page))))
	for path, serve := range map[string]httpx.HandlerFunc{
		"/account/sign-in": s.account.BeginSignIn, "/account/sign-out": s.account.SignOut, "/account/sign-out-everywhere": s.account.SignOutEverywhere,
		"/account/add": s.account.Add, "/account/default": s.account.SetDefault, "/account/rename": s.account.Rename,
		"/account/repair": s.account.Repair, "/account/disconnect": s.account.Disconnect,
		"/account/apps/revoke": s.account.RevokeApp, "/account/sessions/end": s.account.EndSession,
		"/account/export": s.account.Export, "/account/erase": s.account.Erase,
		"/connect/{secret}": s.account.UseConnect, "/approve/{secret}": s.account.UseApprove,
	} {
		per.Handle("POST "+path, sameOrigin(web.Page(s.limits.Guard(ratelimit.Forms, serving(account.Leading(serve))))))
	}
	per.Handle("GET /connect/{secret}", web.Page(s.limits.Guard(ratelimit.Pages, serving(account.Leading(s.account.Connect)))))
	per.Handle("GET /approve/{secret}", web.Page(s.limits.Guard(ratelimit.Pages, serving(account.Leading(s.account.Approve)))))
	per.Handle("GET /account/erase", web.Page(s.limits.Guard(ratelimit.Pages, serving(s.account.ErasePage))))
	per.Handle("GET /account/erasure/{code}", web.Page(s.limits.Guard(ratelimit.Pages, s.account.Erasure))) // also of a tenant that is suspended
	per.Handle("GET /account/erasure/{code}/receipt", web.Page(s.limits.Guard(ratelimit.Pages, s.account.ErasureReceipt)))
	for _, name := range documents {
		per.Handle("/.well-known/"+name, web.CORS("GET", http.HandlerFunc(s.discovery.Appended)))
	}
	per.Handle("/", web.Page(notFound))

	all := http.NewServeMux()
	all.Handle("GET "+callbackPath, web.Authorize(s.limits.Guard(ratelimit.Callback, s.signin.Callback)))
	if s.signals != nil {
		all.Handle(signalsPath, s.signals) // has an error form of its own (RFC 8935 §2.3)
	}
	for _, name := range documents {
		document := web.CORS("GET", s.discovery.Inserted(name))
		all.Handle("/.well-known/"+name, document)
		all.Handle("/.well-known/"+name+"/", document)
	}
	all.Handle("/", s.route(per))
	return httpx.Observe(log, audit.Observe(s.proxies, all))
}

var documents = []string{"oauth-authorization-server", "openid-configuration"}

// serving lets a request on when its tenant takes part.
func serving(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := tenant.FromContext(r.Context()).Serves(); err != nil {
			return err
		}
		return h(w, r)
	}
}

// Internal is the route table of the internal listener.
func (s *Server) Internal(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wire.Path, s.exchange)
	mux.HandleFunc(wire.AccountsPath, s.exchange.Accounts)
	mux.HandleFunc(wire.ApprovalsPath, s.exchange.Approvals)
	mux.Handle(wire.RevocationsPath, s.revocations)
	mux.Handle(wire.ResourcesPath, s.resources)
	mux.Handle(wire.KeysPath+"{tenant}", web.OAuthJSON(web.Methods(s.keysOf, http.MethodGet)))
	mux.Handle(wire.OutcomesPath, s.outcomes)
	return httpx.Observe(log, mux)
}

// keysOf serves the public keys of the tenant that the path names.
func (s *Server) keysOf(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ParseID(r.PathValue("tenant"))
	t, ok := s.tenants.Directory().ByID(id)
	if err != nil || !ok {
		return &oauth.Error{Code: oauth.InvalidRequest, Status: http.StatusNotFound, Description: "There is no such tenant."}
	}
	return s.discovery.JWKS(w, r.WithContext(tenant.WithTenant(r.Context(), t)))
}

// Admin is the route table of the admin listener: health for everybody, and the
// admin API, which has routes and authentication of its own.
func (s *Server) Admin(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", readyz([]check{
		{"database", s.db.Ready},
		{"keys", func(ctx context.Context) error {
			if _, err := s.keys.For(ctx, tenant.DefaultID); err != nil {
				return fmt.Errorf("reading keys: %w", err)
			}
			return nil
		}},
	}))
	mux.Handle("/admin/", s.admin.Handler())
	return httpx.Observe(log, audit.Observe(s.proxies, mux))
}

// route finds the tenant of a request by its host and path.
func (s *Server) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, rest, ok := s.tenants.Directory().Resolve(r.Host, r.URL.Path)
		if !ok {
			web.Page(notFound).ServeHTTP(w, r)
			return
		}
		inner := r.WithContext(tenant.WithTenant(r.Context(), t))
		u := *r.URL
		u.Path, u.RawPath = rest, ""
		inner.URL = &u
		next.ServeHTTP(w, inner)
	})
}

// sameOrigin refuses forms that other sites post (RFC 9700 §4.7). The consent
// form carries its own token besides.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(web.Page(func(http.ResponseWriter, *http.Request) error {
		return &web.PageError{Status: http.StatusForbidden, Title: "This form came from another site", Advice: "Nothing was allowed. Start again from the app."}
	}))
	return protection.Handler(next)
}

func notFound(http.ResponseWriter, *http.Request) error {
	return &web.PageError{Status: http.StatusNotFound, Title: "There is nothing here", Advice: "Check the address, or start again from the app."}
}
