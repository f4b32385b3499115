package resource_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/resource"
)

// feed is a list of tenants that a test changes and switches off.
type feed struct {
	mu    sync.Mutex
	list  *exchange.Resources
	asked []string // versions known
}

func (f *feed) Resources(_ context.Context, known string) (*exchange.Resources, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, known)
	switch {
	case f.list == nil:
		return nil, errors.New("connection refused")
	case f.list.Version == known:
		return nil, nil
	}
	return f.list, nil
}

func (f *feed) set(list *exchange.Resources) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

func tenantAt(id, url string) exchange.Tenant {
	return exchange.Tenant{ID: id, Issuer: "https://auth.example.com/t/" + id, KeysPath: exchange.KeysPath + id, Status: exchange.TenantActive, Resources: []exchange.Resource{{URL: url}}}
}

// TestFollow: a change holds within 10 s; an unchanged list changes nothing; a list that does not answer neither.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{}
		var mu sync.Mutex
		var lists [][]resource.Resource
		follower := resource.New(resource.Config{Feed: f, Base: "http://as:8081", Changed: func(list []resource.Resource) {
			mu.Lock()
			defer mu.Unlock()
			lists = append(lists, list)
		}})
		seen := func() [][]resource.Resource {
			mu.Lock()
			defer mu.Unlock()
			return lists
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); follower.Run(ctx) }()
		time.Sleep(time.Minute)
		if got := seen(); len(got) != 0 || follower.Age() < time.Hour {
			t.Fatalf("%v, age %v", got, follower.Age())
		}
		f.set(&exchange.Resources{Version: "1", Tenants: []exchange.Tenant{tenantAt("acme", "https://mcp.example.com/t/acme/mcp")}})
		time.Sleep(2 * time.Second) // before the first answer it asks every second
		if got := seen(); len(got) != 1 || len(got[0]) != 1 || got[0][0].KeysURL != "http://as:8081/internal/keys/acme" {
			t.Fatalf("%+v", got)
		}
		time.Sleep(time.Minute)
		f.set(&exchange.Resources{Version: "2", Tenants: []exchange.Tenant{tenantAt("acme", "https://mcp.example.com/t/acme/mcp"), tenantAt("globex", "https://mcp.globex.example/mcp")}})
		time.Sleep(10 * time.Second)
		if got := seen(); len(got) != 2 || len(got[1]) != 2 || follower.Age() > 10*time.Second {
			t.Fatalf("%+v", got)
		}
		f.set(nil)
		time.Sleep(time.Hour)
		if got := seen(); len(got) != 2 || follower.Age() < 50*time.Minute {
			t.Errorf("%+v, age %v", got, follower.Age())
		}
		stop()
		<-done
	})
}

// TestBadEntriesCostTheOthersNothing: what cannot be served of the list is left out; keys come from the server that gave it
// and from nowhere else.
func TestBadEntriesCostTheOthersNothing(t *testing.T) {
	t.Parallel()
	good := tenantAt("good", "https://mcp.example.com/t/good/mcp")
	for name, change := range map[string]func(*exchange.Tenant){
		"keys of another host":        func(x *exchange.Tenant) { x.KeysPath = "https://evil.example/keys" },
		"keys of a host by slashes":   func(x *exchange.Tenant) { x.KeysPath = "//evil.example/internal/keys/bad" },
		"keys of another tenant":      func(x *exchange.Tenant) { x.KeysPath = exchange.KeysPath + "good" },
		"keys at an authority":        func(x *exchange.Tenant) { x.KeysPath = "@evil.example" },
		"no id":                       func(x *exchange.Tenant) { x.ID, x.KeysPath = "", exchange.KeysPath },
		"an issuer that is none":      func(x *exchange.Tenant) { x.Issuer = "auth.example.com" },
		"an issuer over http":         func(x *exchange.Tenant) { x.Issuer = "http://auth.example.com" },
		"a resource that is none":     func(x *exchange.Tenant) { x.Resources[0].URL = "/mcp" },
		"a path of the server itself": func(x *exchange.Tenant) { x.Resources[0].URL = "https://mcp.example.com/readyz" },
		"well-known": func(x *exchange.Tenant) {
			x.Resources[0].URL = "https://mcp.example.com/.well-known/oauth-protected-resource"
		},
		"another tenant's resource": func(x *exchange.Tenant) { x.Resources[0].URL = good.Resources[0].URL },
	} {
		bad := tenantAt("bad", "https://mcp.example.com/t/bad/mcp")
		change(&bad)
		list, refused := resource.Parse(&exchange.Resources{Version: "1", Tenants: []exchange.Tenant{good, bad}}, "http://as:8081")
		if len(list) != 1 || list[0].Tenant != "good" || len(refused) != 1 {
			t.Errorf("%s: %+v %v", name, list, refused)
		}
	}
}

// TestUnknownStatusIsDoubt: a tenant is served only when it is known to be active.
func TestUnknownStatusIsDoubt(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]resource.Status{"active": resource.Active, "suspended": resource.Suspended, "": "", "on_hold": "", "Active": ""} {
		x := tenantAt("acme", "https://mcp.example.com/t/acme/mcp")
		x.Status = status
		list, _ := resource.Parse(&exchange.Resources{Version: "1", Tenants: []exchange.Tenant{x}}, "http://as:8081")
		if len(list) != 1 || list[0].Status != want {
			t.Errorf("%q: %+v", status, list)
		}
	}
}
