package tenancy_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// source is a database of tenants that a test changes and switches off.
type source struct {
	mu      sync.Mutex
	records []tenancy.Record
	down    bool
	deaf    bool // the connection for notifications fails
	notify  chan struct{}
	reads   int
	dials   int
}

func (s *source) Tenants(context.Context) ([]tenancy.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.down {
		return nil, errors.New("connection refused")
	}
	return append([]tenancy.Record{}, s.records...), nil
}

func (s *source) ListenTenants(ctx context.Context, changed func()) error {
	s.mu.Lock()
	s.dials++
	deaf := s.deaf
	s.mu.Unlock()
	if deaf {
		return errors.New("connection refused")
	}
	for {
		changed()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-s.notify:
			if !ok {
				return errors.New("connection lost")
			}
		}
	}
}

func (s *source) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func deployment(t testing.TB) tenancy.Deployment {
	t.Helper()
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	return tenancy.Deployment{Issuer: issuer, Resource: resource, Lifetimes: tenant.DefaultLifetimes(), GoogleClientID: "deployment", Profile: scope.Full}
}

func record(slug string, change func(*tenancy.Record)) tenancy.Record {
	r := tenancy.Record{
		ID: tenant.FromUUID([16]byte{15: byte(len(slug)), 0: slug[0]}), Slug: slug, Status: tenant.Active, Policy: []byte(`{}`), Upstream: tenancy.OfDeployment, Generation: 1,
		Resources: []tenancy.Resource{{URL: "https://mcp.example.com/t/" + slug + "/mcp"}},
	}
	if slug == "default" {
		r.ID, r.Resources = tenant.DefaultID, nil
	}
	if change != nil {
		change(&r)
	}
	return r
}

// follower runs one over a source until the bubble ends.
func follower(t *testing.T, s *source) *tenancy.Follower {
	t.Helper()
	f, err := tenancy.NewFollower(tenancy.Config{Source: s, Deployment: deployment(t)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t *testing.T, f *tenancy.Follower) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

func status(f *tenancy.Follower, slug string) tenant.Status {
	t, _, ok := f.Directory().Resolve("auth.example.com", "/t/"+slug+"/token")
	if !ok {
		return "absent"
	}
	return t.Status
}

// TestFollowByNotification: a change that is announced holds at once.
func TestFollowByNotification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{records: []tenancy.Record{record("default", nil)}, notify: make(chan struct{})}
		f := follower(t, s)
		run(t, f)
		time.Sleep(time.Second)
		s.set(func() { s.records = append(s.records, record("acme", nil)) })
		s.notify <- struct{}{}
		time.Sleep(time.Second)
		if got := status(f, "acme"); got != tenant.Active {
			t.Errorf("%s", got)
		}
	})
}

// TestFollowWithoutNotifications: a lost notification costs the TTL at most; the connection is tried again, ever more
// rarely; when it is back the tenants are read, for what was missed.
func TestFollowWithoutNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{records: []tenancy.Record{record("default", nil)}, notify: make(chan struct{}), deaf: true}
		f := follower(t, s)
		run(t, f)
		time.Sleep(tenancy.DefaultTTL)
		s.set(func() { s.records = append(s.records, record("acme", nil)) })
		time.Sleep(tenancy.DefaultTTL)
		if got := status(f, "acme"); got != tenant.Active {
			t.Errorf("after the TTL: %s", got)
		}
		time.Sleep(10 * time.Minute)
		s.set(func() {
			if s.dials < 40 || s.dials > 100 {
				t.Errorf("%d connections in eleven minutes", s.dials)
			}
			s.deaf = false
		})
		time.Sleep(time.Minute)
		s.set(func() { s.records[1].Status = tenant.Suspended })
		s.notify <- struct{}{}
		time.Sleep(time.Second)
		if got := status(f, "acme"); got != tenant.Suspended {
			t.Errorf("after the connection is back: %s", got)
		}
		close(s.notify)
	})
}

// TestLastGoodCopyServes: while the database is away nothing changes; before the first answer everything is doubt.
func TestLastGoodCopyServes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{records: []tenancy.Record{record("default", nil), record("acme", nil)}, notify: make(chan struct{}), down: true}
		f := follower(t, s)
		run(t, f)
		time.Sleep(time.Hour)
		first := f.Directory().Default()
		if err := first.Serves(); err == nil || first.Issuer.String() != "https://auth.example.com" {
			t.Errorf("a tenant whose policy nobody has read is served: %v", err)
		}
		s.set(func() { s.down = false })
		time.Sleep(tenancy.DefaultTTL)
		if f.Directory().Default().Serves() != nil || status(f, "acme") != tenant.Active {
			t.Error("not served after the database came back")
		}
		s.set(func() { s.down, s.records = true, nil })
		time.Sleep(time.Hour)
		if f.Directory().Default().Serves() != nil || status(f, "acme") != tenant.Active {
			t.Error("the last good copy does not serve")
		}
		s.set(func() { s.down = false }) // and it answers that there is no tenant at all
		time.Sleep(time.Hour)
		if f.Directory().Default().Serves() != nil {
			t.Error("an answer that cannot be true was taken")
		}
	})
}

// TestUnreadableTenant: what this program cannot read of one tenant is doubt for it, never a policy left out, and costs the
// others nothing.
func TestUnreadableTenant(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tenancy.Record){
		"a policy of a newer program": func(r *tenancy.Record) { r.Policy = []byte(`{"allowed_planets":["earth"]}`) },
		"no JSON":                     func(r *tenancy.Record) { r.Policy = []byte(`{`) },
		"a status of a newer program": func(r *tenancy.Record) { r.Status = "on_hold" },
		"an upstream that is unknown": func(r *tenancy.Record) { r.Upstream = "shared" },
		"no resource":                 func(r *tenancy.Record) { r.Resources = nil },
		"a resource that is no URL":   func(r *tenancy.Record) { r.Resources = []tenancy.Resource{{URL: "mcp"}} },
	} {
		d, problems, err := deployment(t).Directory([]tenancy.Record{record("acme", change), record("default", nil), record("globex", nil)})
		if err != nil || len(problems) != 1 {
			t.Fatalf("%s: %v %v", name, problems, err)
		}
		for slug, want := range map[string]bool{"acme": false, "globex": true} {
			tn, _, ok := d.Resolve("auth.example.com", "/t/"+slug+"/token")
			if !ok || (tn.Serves() == nil) != want {
				t.Errorf("%s: %s", name, slug)
			}
			if e, ok := tn.Serves().(*oauth.Error); !want && (!ok || e.HTTPStatus() != 503) {
				t.Errorf("%s: %v", name, tn.Serves())
			}
		}
	}
}

// TestIssuerAt: an issuer at a host is https, and http only where nothing leaves the machine.
func TestIssuerAt(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"auth.acme.example": "https://auth.acme.example", "auth.acme.example:8443": "https://auth.acme.example:8443",
		"localhost:8080": "http://localhost:8080", "localhost.evil.example": "https://localhost.evil.example",
		"a/b": "", "a?b": "", "": "", "u@a": "", "A.example": "",
	} {
		got, err := tenancy.IssuerAt(host)
		if (err == nil) != (want != "") || got.String() != want {
			t.Errorf("%q: %q %v", host, got, err)
		}
	}
}

// TestOwnClientIsNeverReplaced: a tenant that has said its own has its own or none; the deployment's client is said too.
func TestOwnClientIsNeverReplaced(t *testing.T) {
	t.Parallel()
	d := deployment(t)
	own := func(c *tenancy.Client) func(*tenancy.Record) {
		return func(r *tenancy.Record) { r.Upstream, r.Client = tenancy.Own, c }
	}
	for name, c := range map[string]struct {
		change func(*tenancy.Record)
		want   tenant.Upstream
	}{
		"the deployment's":            {nil, tenant.Upstream{ClientID: "deployment"}},
		"its own":                     {own(&tenancy.Client{ClientID: "mine", Generation: 2, Publishing: tenancy.Testing}), tenant.Upstream{Own: true, ClientID: "mine", Generation: 2, Testing: true}},
		"its own, and there is none":  {own(nil), tenant.Upstream{Own: true}},
		"the deployment's beside one": {func(r *tenancy.Record) { r.Client = &tenancy.Client{ClientID: "mine", Generation: 1} }, tenant.Upstream{ClientID: "deployment"}},
	} {
		got, err := d.Tenant(record("acme", c.change))
		if err != nil || got.Upstream != c.want {
			t.Errorf("%s: %+v %v", name, got.Upstream, err)
		}
	}
	if _, err := d.Tenant(record("default", own(nil))); err == nil || !strings.Contains(err.Error(), "upstream") {
		t.Errorf("the default tenant with its own: %v", err)
	}
}
