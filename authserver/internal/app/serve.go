package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"latchkey/authserver/internal/account"
	"latchkey/authserver/internal/admin"
	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/clientauth"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/discovery"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/every"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/flow"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/kek"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/outbound"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/provider"
	"latchkey/authserver/internal/ratelimit"
	"latchkey/authserver/internal/registration"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/signals"
	"latchkey/authserver/internal/signin"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
	"latchkey/authserver/internal/vault"
	"latchkey/migrations"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/secret"
)

const (
	callbackPath = tenancy.CallbackPath
	signalsPath  = "/google/signals"
	sweepEvery   = time.Minute
	schemaWait   = 30 * time.Second
)

// Server is everything that serves: the parts, connected.
type Server struct {
	tenants      *tenancy.Follower
	discovery    *discovery.Handler
	registration *registration.Handler
	signin       *signin.Handler
	flow         *flow.Handler
	account      *account.Handler
	revoker      *connection.Revoker
	eraser       *erasure.Eraser
	jobs         *job.Runner
	mass         *revocation.Revoker
	provider     *provider.Provider
	exchange     *exchange.Handler
	revocations  *exchange.RevocationHandler
	resources    *exchange.ResourceHandler
	outcomes     *exchange.OutcomeHandler
	admin        *admin.API
	signals      *signals.Handler // nil: off
	sealer       *audit.Sealer
	proxies      httpx.Proxies
	db           *postgres.DB
	keys         *keyset.Keyset
	limits       *ratelimit.Limiter
}

// serve builds the server and runs it until ctx ends.
func serve(ctx context.Context, c *config.Server, log *slog.Logger) error {
	key, err := kek.OpenBoth(ctx, c.KEK, c.FromKEK)
	if err != nil {
		return err
	}
	callers, err := exchange.LoadClients(c.RSClientID, c.RSJWKSFile, c.InternalURL, c.Issuer)
	if err != nil {
		return err
	}
	public := &httpx.Server{Name: "public", Setting: "AS_LISTEN", Addr: c.Listen}
	internal := &httpx.Server{Name: "internal", Setting: "AS_INTERNAL_LISTEN", Addr: c.InternalListen}
	if internal.TLS, err = internalTLS(c.InternalTLS, log); err != nil {
		return err
	}
	admin := &httpx.Server{Name: "admin", Setting: "AS_ADMIN_LISTEN", Addr: c.AdminListen}
	for _, s := range []*httpx.Server{public, internal, admin} {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	if err := checkSchema(ctx, c.DatabaseURL, log); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: c.DatabaseURL})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := New(c, db, key, callers, log)
	if err != nil {
		return err
	}
	// Doubt about the database is not asked about here: readiness tells, and until
	// the tenants were read every request is answered with doubt.
	if err := s.tenants.Reload(ctx); err != nil {
		log.Warn("the tenants cannot be read yet", "error", err)
	}
	warnOfLogin(ctx, db, log)
	if err := s.checkKEK(ctx, log, schemaWait); err != nil {
		return err
	}
	public.Handler, internal.Handler, admin.Handler = s.Public(log), s.Internal(log), s.Admin(log)
	go s.sweep(ctx, log)
	go s.keys.Run(ctx)
	go s.revoker.Run(ctx)
	go s.eraser.Run(ctx)
	go s.mass.Work(ctx)
	go s.jobs.Run(ctx)
	go s.tenants.Run(ctx)
	go s.sealer.Run(ctx)
	return httpx.Serve(ctx, log, public, internal, admin)
}

// internalTLS is the internal listener's TLS, nil for plain http.
func internalTLS(c *config.InternalTLS, log *slog.Logger) (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	own, err := httpx.LoadKeyPair(c.CertFile, c.KeyFile, nil)
	if err != nil {
		return nil, fmt.Errorf("AS_INTERNAL_TLS_CERT_FILE: %w", err)
	}
	return exchange.Peers{Pins: c.Pins, Roots: c.ClientCA, SAN: c.ClientSAN, Log: log, Now: time.Now}.TLS(own), nil
}

// checkSchema refuses to serve on a schema that is behind. A database that is
// still starting gets half a minute.
func checkSchema(ctx context.Context, dsn secret.Text, log *slog.Logger) error {
	deadline := time.Now().Add(schemaWait)
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := migrations.Check(attempt, dsn.Reveal())
		cancel()
		switch {
		case err == nil || errors.Is(err, migrations.ErrPending) || ctx.Err() != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("the database (DATABASE_URL) does not answer: start it or correct the setting: %w", err)
		}
		log.Warn("waiting for the database", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// warnOfLogin says that the database's login user passes row-level security by. It
// is no refusal: development has one user for everything, and the servers act in
// bound roles in any case.
func warnOfLogin(ctx context.Context, db *postgres.DB, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if user, passes, err := db.Login(ctx); err != nil {
		log.Warn("the database's login user cannot be looked at yet", "error", err)
	} else if passes {
		log.Warn("the user of DATABASE_URL is a superuser or passes row-level security by: give the servers a user of their own where people sign in", "user", user)
	}
}

// checkKEK refuses to serve without the key-encryption key (DESIGN §1.6). A key
// management service that does not answer gets the wait and is told from a key
// that is wrong. Doubt about the database is not asked about here:
// readiness tells.
func (s *Server) checkKEK(ctx context.Context, log *slog.Logger, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		_, err := s.keys.For(ctx, tenant.DefaultID)
		switch {
		case errors.Is(err, vault.ErrWrongKEK), errors.Is(err, vault.ErrKEKRefused):
			return err
		case !errors.Is(err, vault.ErrKEKAway):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the service that holds the key-encryption key (KEK_URI) cannot be asked; nothing says that the key is wrong: %w", err)
		}
		log.Warn("waiting for the key management service", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// deployment is what the settings say of the default tenant, and for every other.
func deployment(c *config.Server) tenancy.Deployment {
	lifetimes := tenant.DefaultLifetimes()
	lifetimes.AccessToken, lifetimes.RefreshGrace = c.AccessTokenTTL, c.RefreshGrace
	lifetimes.SessionIdle, lifetimes.SessionAbsolute = c.SessionIdle, c.SessionAbsolute
	return tenancy.Deployment{
		Issuer: c.Issuer, Resource: c.Resource, Lifetimes: lifetimes, Documents: c.Documents, AccessTokenAlg: c.AccessTokenAlg, GoogleClientID: c.Google.ClientID, Profile: c.Profile,
	}
}

// New connects the parts. It starts nothing, and knows no tenant before Reload
// has read them.
func New(c *config.Server, db *postgres.DB, key *vault.KEK, callers *exchange.Clients, log *slog.Logger) (*Server, error) {
	v, err := vault.New(vault.Config{KEK: key, Store: db})
	if err != nil {
		return nil, err
	}
	var keepers []interface {
		Retain(known func(tenant.ID) bool)
	} // of what is a tenant's secret: it goes from memory with the tenant
	directory, err := tenancy.NewFollower(tenancy.Config{Source: db, Deployment: deployment(c), Log: log, Replaced: func(d *tenant.Directory) {
		for _, k := range keepers {
			k.Retain(d.Has)
		}
	}})
	if err != nil {
		return nil, err
	}
	tenants := directory.Directory
	timing := keyset.DefaultTiming()
	timing.Period = c.SigningKeyPeriod
	keys, err := keyset.New(keyset.Config{Store: db, Vault: v, Tenants: tenants, Timing: timing, Log: log})
	if err != nil {
		return nil, err
	}
	authURL, err := url.Parse(c.Google.AuthURL)
	if err != nil {
		return nil, fmt.Errorf("GOOGLE_AUTH_URL: %w", err)
	}
	upstreams := upstream.New(upstream.Config{Store: db, Vault: v, Tenants: tenants, CallbackPath: callbackPath, Google: google.Config{
		ClientID: c.Google.ClientID, ClientSecret: c.Google.ClientSecret, Issuer: c.Google.Issuer, AuthURL: c.Google.AuthURL,
		TokenURL: c.Google.TokenURL, JWKSURL: c.Google.JWKSURL, RevokeURL: c.Google.RevokeURL,
	}})
	keepers = append(keepers, v, keys, upstreams)
	if len(c.TestHosts) > 0 || c.TestRoots != nil {
		log.Warn("TEST ONLY: client metadata documents are admitted from loopback (CIMD_TEST_ALLOW_HOSTS, CIMD_TEST_CA_FILE); never set these where people sign in", "hosts", c.TestHosts)
	}
	if c.RateLimitScale == 0 {
		log.Warn("there are no rate limits (RATE_LIMIT_SCALE is 0): anyone can fill the database and use up Google's quota")
	}
	limits := ratelimit.New(ratelimit.Config{Store: db, Limits: ratelimit.ByPolicy(c.RateLimitScale), Proxies: c.Proxies, Log: log, AskTime: c.LimitsAskTime})
	fetch, err := outbound.New(outbound.Config{AllowHosts: c.TestHosts, RootCAs: c.TestRoots, Now: time.Now, Shared: limits})
	if err != nil {
		return nil, fmt.Errorf("CIMD_TEST_ALLOW_HOSTS: %w", err)
	}
	redirects := append(slices.Clone(registration.DefaultCustomRedirects), c.CustomRedirects...)
	clients := registration.NewClients(registration.Config{Store: db, Fetch: fetch, CustomRedirects: redirects, Now: time.Now, Log: log})
	auth := clientauth.New(clientauth.Config{Clients: clients, Assertions: db, Keys: clientauth.NewKeys(fetch, time.Now), Now: time.Now})
	sessions := &session.Sessions{Store: db}
	trips := &signin.Handler{
		Store: db, Vault: v, Tenants: tenants,
		Google: func(ctx context.Context, t tenant.ID) (signin.Google, error) { return upstreams.For(ctx, t) },
	}
	authorization := &flow.Handler{
		Clients: clients, Auth: auth, Store: db, Grants: db, Vault: v, SignIn: trips, Sessions: sessions, Audit: db, Now: time.Now, Proxies: c.Proxies,
		AccountPath: account.Path, GoogleOrigin: authURL.Scheme + "://" + authURL.Host,
		Codes: func(ctx context.Context, t tenant.ID) (*grant.Codec, error) {
			set, err := keys.For(ctx, t)
			if err != nil {
				return nil, err
			}
			return set.Codec(), nil
		},
	}
	revoker := &connection.Revoker{
		Queue: db, Vault: v, Log: log,
		Google: func(ctx context.Context, t tenant.ID) (connection.Revokes, error) { return upstreams.For(ctx, t) },
	}
	eraser := &erasure.Eraser{
		Store: db, Shred: &erasure.Shredder{Store: db, Keys: keys.For, Tenants: tenants, Now: time.Now}, Revoker: revoker, Now: time.Now, Log: log,
	}
	exporter := &erasure.Exporter{Store: db, Vault: v, Now: time.Now}
	approvals := &approval.Approvals{Store: db, Vault: v, Tenants: tenants}
	person := &account.Handler{
		Leaver: leaver{eraser, exporter, db},
		Store:  db, Accounts: db, Linker: db, Invitations: db, Approvals: approvals, Sessions: sessions, SignIn: trips, Vault: v,
		GoogleOrigin: authURL.Scheme + "://" + authURL.Host, Now: time.Now,
	}
	tenantOperator := Operator(c, db, v)
	api, err := admin.New(admin.Config{
		Store: db, Audit: db, Tenants: tenants, TenantID: db.TenantID, Keys: keys.For, Vault: v, Limits: limits, Now: time.Now,
		Operator: &operator.Operator{
			Store: db, CustomRedirects: c.CustomRedirects, Now: time.Now, Keys: &keyset.Operator{Store: db, Vault: v}, KEK: key, Export: exporter, Erase: eraser,
		},
		Tenancy: tenantOperator, Ender: &tenancy.Ender{Rows: db, Shred: eraser.Shred, Tenant: tenantOperator},
		Revoker: &revocation.Revoker{Store: db}, Jobs: &job.Runner{Store: db, KEK: key.ID()},
	})
	if err != nil {
		return nil, err
	}
	trips.Kinds = person.Continuations()
	trips.Kinds[flow.KindAuthorize] = authorization.Returned
	return &Server{
		tenants:      directory,
		discovery:    &discovery.Handler{Tenants: tenants, Keys: keys.For},
		registration: &registration.Handler{Clients: clients, Store: db, CustomRedirects: redirects, Now: time.Now},
		signin:       trips, flow: authorization, account: person,
		revoker: revoker, eraser: eraser, mass: &revocation.Revoker{Store: db, Log: log}, admin: api,
		jobs:     &job.Runner{Store: db, KEK: key.ID(), Log: log, Works: works(db, key, v), Why: whyWorkFails},
		provider: provider.New(provider.Config{Auth: auth, Clients: clients, Store: db, Keys: keys.For}),
		exchange: &exchange.Handler{
			Clients: callers, Store: db, Vault: v, Tenants: tenants, Audit: db, Limits: limits, Now: time.Now, Log: log,
			Links: &connection.Invitations{Store: db, Tenants: tenants}, Asker: approvals,
			Credentials: &connection.Credentials{
				Store: db, Vault: v, Endings: db, Log: log,
				Google: func(ctx context.Context, t tenant.ID) (connection.Google, error) { return upstreams.For(ctx, t) },
			},
			Keys: func(ctx context.Context, t tenant.ID) (accesstoken.KeySource, error) {
				return keys.For(ctx, t)
			},
		},
		signals:     receiver(c.Google, upstreams, db),
		revocations: &exchange.RevocationHandler{Clients: callers, Store: db, Now: time.Now},
		resources:   &exchange.ResourceHandler{Clients: callers, Store: db, Tenants: tenants, Now: time.Now},
		outcomes:    &exchange.OutcomeHandler{Clients: callers, Store: db, Now: time.Now},
		sealer: &audit.Sealer{
			Store: db, Log: log, Now: time.Now,
			Keys: func(ctx context.Context, t tenant.ID) (audit.Signer, error) { return keys.For(ctx, t) },
		},
		proxies: c.Proxies,
		db:      db, keys: keys, limits: limits,
	}, nil
}

// Operator makes and changes tenants of a deployment with these settings.
func Operator(c *config.Server, db *postgres.DB, v upstream.Sealer) *tenancy.Operator {
	known := func(ctx context.Context, t tenant.ID, id string) (*client.Client, error) {
		return registration.Known(id, func(id string) (*client.Client, error) { return db.Client(ctx, t, id) })
	}
	return &tenancy.Operator{Store: db, Deployment: deployment(c), Vault: v, Known: known}
}

// Reload reads the tenants anew.
func (s *Server) Reload(ctx context.Context) error { return s.tenants.Reload(ctx) }

// Follow follows the changes of tenants until ctx ends.
func (s *Server) Follow(ctx context.Context) { s.tenants.Run(ctx) }

// receiver takes Google's security events, if the operator wants them.
func receiver(c config.Google, upstreams *upstream.Clients, db *postgres.DB) *signals.Handler {
	if !c.Signals {
		return nil
	}
	return &signals.Handler{
		Keys: &signals.Keys{Issuer: c.SignalsIssuer, JWKSURL: c.SignalsJWKSURL}, Issuer: c.SignalsIssuer,
		Clients: upstreams.IDs, Store: db, Now: time.Now,
	}
}

// RevokeAtGoogle tries once to revoke at Google what people have disconnected.
func (s *Server) RevokeAtGoogle(ctx context.Context) error { return s.revoker.Step(ctx) }

// GoOnErasing does what is due of the erasures of people, once.
func (s *Server) GoOnErasing(ctx context.Context) error { return s.eraser.Step(ctx) }

// GoOnRevoking does what is due of revocations that were begun, once, and closes
// epochs older than a time.
func (s *Server) GoOnRevoking(ctx context.Context, older time.Duration) error {
	return errors.Join(s.mass.Step(ctx), s.mass.Close(ctx, older))
}

// GoOnWorking does the long work that the admin API has begun, once.
func (s *Server) GoOnWorking(ctx context.Context) error { return s.jobs.Step(ctx) }

// SealAudit seals what the audit trails have, once, with checkpoints.
func (s *Server) SealAudit(ctx context.Context) error { return s.sealer.Round(ctx, 0) }

// leaver is what the account page needs of erasures and exports.
type leaver struct {
	*erasure.Eraser
	*erasure.Exporter
	*postgres.DB
}

// sweep deletes what has expired, for ever, until ctx ends.
func (s *Server) sweep(ctx context.Context, log *slog.Logger) {
	every.Run(ctx, sweepEvery, func(ctx context.Context) {
		bounded, cancel := context.WithTimeout(ctx, sweepEvery)
		defer cancel()
		n, err := s.db.Sweep(bounded)
		if err != nil {
			log.Warn("sweeping expired rows", "error", err)
		} else if n > 0 {
			log.Info("swept expired rows", "rows", n)
		}
	})
}
