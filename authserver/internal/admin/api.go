package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/authserver/docs"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// Base is the path of the API on the admin listener.
const Base = "/admin/v1"

// documentPath is where the API's description is served, to everybody.
const documentPath = Base + "/openapi.json"

// Recorder writes an audit event by itself.
type Recorder interface {
	Record(ctx context.Context, e audit.Event) error
}

// Sealer seals cursors.
type Sealer interface {
	Seal(ctx context.Context, b vault.Binding, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, b vault.Binding, sealed []byte) ([]byte, error)
}

// Config configures an API. Every field is required.
type Config struct {
	Store    Administrators
	Audit    Recorder
	Tenants  func() *tenant.Directory
	TenantID func(ctx context.Context, slug string) (tenant.ID, error) // operator.ErrNotFound for none
	Keys     func(ctx context.Context, t tenant.ID) (*keyset.Set, error)
	Vault    Sealer
	Limits   *ratelimit.Limiter
	Operator *operator.Operator
	Tenancy  *tenancy.Operator
	Ender    *tenancy.Ender
	Revoker  *revocation.Revoker
	Jobs     *job.Runner
	Now      func() time.Time
}

// API is the admin API. Safe for concurrent use.
type API struct {
	Config
	verifier *accesstoken.Verifier
	routes   []*Route
	streams  streams
}

// New returns an API.
func New(c Config) (*API, error) {
	if c.Tenants == nil || c.Keys == nil {
		return nil, errors.New("the admin API needs the tenants and their keys")
	}
	issuer := c.Tenants().Default().Issuer
	resource, err := oauth.ParseResource(audience(issuer))
	if err != nil {
		return nil, err
	}
	a := &API{Config: c, streams: streams{of: map[tenant.ID]bool{}}}
	a.verifier, err = accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: issuer, Audience: resource, Type: TokenType, Keys: defaultKeys{a}, Now: c.Now})
	a.routes = slices.Concat(a.tenantRoutes(), a.peopleRoutes(), a.clientRoutes(), a.operationRoutes(), a.jobRoutes(), a.revocationRoutes())
	return a, err
}

// Routes are the API's, for the test that compares them with its description.
func (a *API) Routes() []*Route { return a.routes }

// Route is one operation of the API.
type Route struct {
	Method     string
	Path       string // below Base
	Scope      string // that it needs
	Everywhere bool   // for administrators of the deployment only
	query      []string
	serve      func(c *call) error
}

// paged are the parameters of every listing, with its own.
func paged(filters ...string) []string { return append(filters, "limit", "cursor") }

// Handler serves everything below /admin/.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, route := range a.routes {
		path := Base + route.Path
		methods[path] = append(methods[path], route.Method)
		mux.Handle(route.Method+" "+path, web.Problem(a.Limits.Guard(ratelimit.Admin, a.guarded(route))))
	}
	for path, allowed := range methods {
		mux.Handle(path, web.Problem(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			return &web.ProblemError{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "This path takes " + strings.Join(allowed, " and ") + " only."}
		}))
	}
	mux.Handle(TokenPath, web.OAuthJSON(web.Methods(a.Limits.Guard(ratelimit.AdminToken, a.Token), http.MethodPost)))
	mux.Handle("GET "+documentPath, web.Problem(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(docs.OpenAPI)
		return nil
	}))
	mux.Handle("/", web.Problem(func(http.ResponseWriter, *http.Request) error { return notFound("There is nothing here.") }))
	return mux
}

func (a *API) guarded(route *Route) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.authorize(w, r, route)
		if err != nil {
			return err
		}
		return problemOf(route.serve(c))
	}
}

// answer writes a body of 200.
func (c *call) answer(body any) error {
	web.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// done is an answer without a body.
func (c *call) done(err error) error {
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// plain is a route whose query has nothing in it.
func plain(serve func(c *call) error) func(c *call) error {
	return func(c *call) error {
		if _, err := c.query(); err != nil {
			return err
		}
		return serve(c)
	}
}
