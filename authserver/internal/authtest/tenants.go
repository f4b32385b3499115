package authtest

import (
	"context"
	"net"
	"strings"
	"testing"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TenantOptions describe a tenant of a test.
type TenantOptions struct {
	Host   bool              // an issuer at a host of its own: localhost, where the deployment's is at 127.0.0.1
	Policy tenant.Policy     // default: restricts nothing
	Google fakegoogle.Client // its own OAuth client at Google; zero: the deployment's
}

// Operator is the operator of the server's tenants.
func (s *Server) Operator(t testing.TB) *tenancy.Operator {
	t.Helper()
	db := s.DB(t)
	v, err := vault.New(vault.Config{KEK: s.kek(t), Store: db})
	if err != nil {
		t.Fatal(err)
	}
	return app.Operator(&s.settings, db, v)
}

// Reload makes the server read its tenants.
func (s *Server) Reload(t testing.TB) {
	t.Helper()
	if err := s.app.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Follow lets the server follow changes of its tenants by itself until the test
// ends.
func (s *Server) Follow(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.app.Follow(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// Issuer is the tenant's issuer.
func (s *Server) Issuer(t testing.TB) oauth.IssuerURL {
	t.Helper()
	i, err := oauth.ParseIssuerURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// AddTenant makes a tenant and returns the same server as its people and
// clients see it.
func (s *Server) AddTenant(t testing.TB, slug string, o TenantOptions) *Server {
	t.Helper()
	ctx, operator := context.Background(), s.Operator(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.settings.Issuer.String(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	change := tenancy.Change{Policy: &o.Policy}
	if o.Host {
		host := "localhost:" + port
		change.Host = &host
	}
	record, err := operator.Create(ctx, slug, change)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := operator.Deployment.IssuerOf(*record)
	if err != nil {
		t.Fatal(err)
	}
	of := *s
	of.URL, of.Resource, of.Tenant = issuer.String(), record.Resources[0].URL, record.ID
	if o.Google.ID == "" {
		o.Google = fakegoogle.Client{ID: "google-id", Secret: "google-secret", RedirectURIs: []string{s.settings.Issuer.Origin() + tenancy.CallbackPath}}
	} else {
		if _, err := operator.SetGoogleClient(ctx, slug, tenancy.GoogleClient{ID: o.Google.ID, Secret: secret.NewText(o.Google.Secret), Publishing: tenancy.Production}); err != nil {
			t.Fatal(err)
		}
	}
	o.Google.RedirectURIs = append(o.Google.RedirectURIs, issuer.Origin()+tenancy.CallbackPath)
	s.Google.AddClient(o.Google)
	s.Reload(t)
	return &of
}
