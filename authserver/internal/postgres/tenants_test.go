package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/upstream"
)

func tenantRecord(slug string) tenancy.Record {
	return tenancy.Record{
		ID: tenant.FromUUID(uuid.Must(uuid.NewV7())), Slug: slug, Name: "Acme", Status: tenant.Active, Policy: []byte(`{"sessions_max": 3}`), Upstream: tenancy.OfDeployment,
		Host: "auth." + slug + ".example", Generation: 1,
		Resources: []tenancy.Resource{{URL: "https://mcp." + slug + ".example/mcp", Aliases: []string{"https://mcp." + slug + ".example/"}}, {URL: "https://mcp." + slug + ".example/gmail", Aliases: []string{}, Product: "gmail"}},
	}
}

func find(t testing.TB, f *fixture, id tenant.ID) tenancy.Record {
	t.Helper()
	all, err := f.db.Tenants(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no tenant %s", id)
	return tenancy.Record{}
}

// TestTenantRecords: what is stored comes back; slug, host and resource belong to one tenant; of concurrent changes made
// from the same state one is.
func TestTenantRecords(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	want := tenantRecord("acme")
	if err := f.db.CreateTenant(ctx, want); err != nil {
		t.Fatal(err)
	}
	got := find(t, f, want.ID)
	a, _ := json.Marshal(got.Resources)
	b, _ := json.Marshal([]tenancy.Resource{want.Resources[1], want.Resources[0]})
	if got.Host != want.Host || string(got.Policy) != string(want.Policy) || string(a) != string(b) || got.Client != nil || got.Generation != 1 || got.Created.IsZero() {
		t.Errorf("%+v", got)
	}
	for name, change := range map[string]func(*tenancy.Record){
		"slug":     func(r *tenancy.Record) { r.Slug = want.Slug },
		"host":     func(r *tenancy.Record) { r.Host = want.Host },
		"resource": func(r *tenancy.Record) { r.Resources = want.Resources[:1] },
	} {
		r := tenantRecord("other")
		change(&r)
		if err := f.db.CreateTenant(ctx, r); !errors.Is(err, tenancy.ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := f.db.Tenants(ctx); err != nil || len(all) != 2 { // the refused ones left nothing
		t.Errorf("%d tenants, %v", len(all), err)
	}
	won := 0
	for _, err := range parallel(8, func() error {
		r := got
		r.Name = uuid.NewString()
		return f.db.UpdateTenant(ctx, r)
	}) {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, tenancy.ErrChanged):
			t.Error(err)
		}
	}
	if now := find(t, f, want.ID); won != 1 || now.Generation != 2 || len(now.Resources) != 2 || now.Host != want.Host {
		t.Errorf("%d changes of one state; %+v", won, now)
	}
}

// TestUpstreamClients: one client is active, its secret alone is stored; another generation and another tenant find nothing;
// of concurrent changes one is.
func TestUpstreamClients(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	r := tenantRecord("acme")
	if err := f.db.CreateTenant(ctx, r); err != nil {
		t.Fatal(err)
	}
	set := func(id string) error {
		now := find(t, f, r.ID)
		return f.db.ActivateClient(ctx, now, tenancy.Client{ClientID: id, Generation: now.LastClient + 1, Publishing: tenancy.Testing}, []byte("sealed "+id))
	}
	if err := errors.Join(set("one"), set("two")); err != nil {
		t.Fatal(err)
	}
	got := find(t, f, r.ID)
	if got.Upstream != tenancy.Own || got.Client == nil || got.Client.ClientID != "two" || got.Client.Generation != 2 || got.Client.Publishing != tenancy.Testing {
		t.Errorf("%+v", got.Client)
	}
	if sealed, err := f.db.UpstreamSecret(ctx, r.ID, 2); err != nil || string(sealed) != "sealed two" {
		t.Errorf("%s %v", sealed, err)
	}
	for name, call := range map[string]func() ([]byte, error){
		"an older generation":   func() ([]byte, error) { return f.db.UpstreamSecret(ctx, r.ID, 1) },
		"a newer generation":    func() ([]byte, error) { return f.db.UpstreamSecret(ctx, r.ID, 3) },
		"A5 another tenant":     func() ([]byte, error) { return f.db.UpstreamSecret(ctx, tenant.DefaultID, 2) },
		"A5 a tenant of chance": func() ([]byte, error) { return f.db.UpstreamSecret(ctx, pgtest.Tenant(t, f.dsn), 2) },
	} {
		t.Run(name, func(t *testing.T) {
			if sealed, err := call(); !errors.Is(err, upstream.ErrChanged) || sealed != nil {
				t.Errorf("%s %v", sealed, err)
			}
		})
	}
	won := 0
	for _, err := range parallel(6, func() error {
		return f.db.ActivateClient(ctx, got, tenancy.Client{ClientID: "three", Generation: 3, Publishing: tenancy.Production}, []byte("s"))
	}) {
		if err == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d clients were made active from one state", won)
	}
	if err := f.db.RetireClient(ctx, find(t, f, r.ID)); err != nil {
		t.Fatal(err)
	}
	if now := find(t, f, r.ID); now.Upstream != tenancy.OfDeployment || now.Client != nil || now.LastClient != 3 {
		t.Errorf("%+v", now)
	}
}

// TestTenantChangesAreAnnounced: whoever changes a tenant, its host, its resources or its Google client, servers hear of it.
func TestTenantChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	heard, ended := make(chan struct{}, 64), make(chan error, 1)
	listening, stop := context.WithCancel(ctx)
	go func() { ended <- f.db.ListenTenants(listening, func() { heard <- struct{}{} }) }()
	<-heard // connected
	r := tenantRecord("acme")
	if err := f.db.CreateTenant(ctx, r); err != nil {
		t.Fatal(err)
	}
	<-heard
	for _, sql := range []string{
		`UPDATE tenants SET name = 'x'`, `DELETE FROM tenant_hosts`, `UPDATE resources SET product = 'gmail'`,
		`INSERT INTO upstream_clients (tenant_id, generation, client_id, secret, publishing, state) VALUES ('` + r.ID.String() + `', 1, 'c', 'x', 'testing', 'active')`,
	} {
		run(t, f.dsn, `SET ROLE latchkey_jobs`, sql)
		<-heard
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestEraseTenant: an erasure takes every row of the tenant and of nobody else, keys first; it refuses a tenant that is not
// suspended and the deployment's own; repeated it goes on.
func TestEraseTenant(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	r := tenantRecord("acme")
	if err := f.db.CreateTenant(ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.EnsureConnection(ctx, r.ID, "sub-erased", "acme.example"); err != nil {
		t.Fatal(err)
	}
	before := f.dump(t, tenant.DefaultID)
	for _, id := range []tenant.ID{r.ID, tenant.DefaultID} {
		if gone, err := f.db.EraseTenant(ctx, id); !errors.Is(err, tenancy.ErrNotSuspended) || len(gone) != 0 {
			t.Errorf("erased although it is not suspended: %v %v", gone, err)
		}
	}
	now := find(t, f, r.ID)
	now.Status = tenant.Suspended
	if err := f.db.UpdateTenant(ctx, now); err != nil {
		t.Fatal(err)
	}
	gone, err := f.db.EraseTenant(ctx, r.ID)
	if err != nil || gone["tenants"] != 1 || gone["subjects"] != 1 || gone["connections"] != 1 || gone["resources"] != 2 || gone["tenant_hosts"] != 1 {
		t.Errorf("%v %v", gone, err)
	}
	if rows := f.dump(t, r.ID); strings.Contains(rows, r.ID.String()) {
		t.Errorf("left: %s", rows)
	}
	if after := f.dump(t, tenant.DefaultID); after != before {
		t.Error("another tenant's rows changed")
	}
	// The trail is nobody's to delete; the deployment's says what became of the tenant.
	if own, of := f.trail(t, r.ID), f.trail(t, tenant.DefaultID); !strings.Contains(own, "tenant created") || !strings.Contains(own, "tenant changed, suspended") || !strings.Contains(of, "tenant erased "+r.ID.String()) {
		t.Errorf("%s\n%s", own, of)
	}
	if _, err := f.db.EraseTenant(ctx, r.ID); err == nil {
		t.Error("a tenant that is not there was erased")
	}
}

// TestExportHasNoSecrets: an export has the tenant's rows and nobody else's, and no column that is sealed, a key or a hash.
func TestExportHasNoSecrets(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	f.grant(t)
	seen := map[string]int{}
	collect := func(table string, row json.RawMessage) error {
		seen[table]++
		var columns map[string]any
		if err := json.Unmarshal(row, &columns); err != nil {
			return err
		}
		for name := range columns {
			for _, secret := range []string{"secret", "token", "sealed", "hash", "wrapped", "email", "challenge", "prefix", "document"} {
				if strings.Contains(name, secret) {
					t.Errorf("%s.%s is exported", table, name)
				}
			}
		}
		return nil
	}
	if err := f.db.ExportTenant(ctx, tenant.DefaultID, collect); err != nil {
		t.Fatal(err)
	}
	if seen["grants"] != 1 || seen["connections"] != 1 || seen["subjects"] != 1 {
		t.Errorf("%v", seen)
	}
	clear(seen)
	if err := f.db.ExportTenant(ctx, pgtest.Tenant(t, f.dsn), collect); err != nil || len(seen) != 0 {
		t.Errorf("another tenant's export: %v %v", seen, err)
	}
}
