package app_test

import (
	"log/slog"
	"testing"
	"time"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TestGoneTenantLeavesMemory: DESIGN §1.6: what opens and signs an erased tenant's values leaves the memory of the servers with the tenant, not
// with their restart; others' stays.
func TestGoneTenantLeavesMemory(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	c := &config.Server{DatabaseURL: secret.NewText(dsn), AccessTokenTTL: 10 * time.Minute, RefreshGrace: time.Minute}
	if c.Issuer, err = oauth.ParseIssuerURL("https://as.example.com"); err != nil {
		t.Fatal(err)
	}
	if c.Resource, err = oauth.ParseResource("https://mcp.example.com/mcp"); err != nil {
		t.Fatal(err)
	}
	service := &keyService{}
	service.fail(nil)
	key := vault.NewKEK(service, "test")
	server, err := app.New(c, db, key, &exchange.Clients{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(vault.Config{KEK: key, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	o := app.Operator(c, db, v)
	acme, err := o.Create(t.Context(), "acme", tenancy.Change{})
	if err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		if err := server.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	used := func(when string, want bool) {
		t.Helper()
		if signing, data := server.UseKeys(t.Context(), acme.ID); (signing == nil) != want || (data == nil) != want {
			t.Errorf("%s: signing keys %v, data keys %v", when, signing, data)
		}
	}
	reload()
	used("served", true)
	if _, err := o.Suspend(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	reload()
	if _, err := db.EraseTenant(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	used("erased, and the server has not heard of it", true) // from memory: nothing is stored any more
	reload()
	used("gone", false)
}
