package audit_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/httpx"
)

func base() audit.Event {
	return audit.Event{
		Tenant: tenant.DefaultID, Kind: audit.Login, At: time.UnixMicro(1_700_000_000_123_456), Actor: audit.Person, Outcome: audit.OK,
		Detail: "d", Client: "c", Subject: uuid.MustParse("0198f000-0000-7000-8000-00000000000a"), Scopes: []string{"a", "b"},
	}
}

// TestChainIsFrozen: the hash of a known event at a known place never changes: a later version must still verify what an
// earlier one has sealed.
func TestChainIsFrozen(t *testing.T) {
	t.Parallel()
	full := base()
	full.Grant, full.Connection = uuid.MustParse("0198f000-0000-7000-8000-00000000000b"), uuid.MustParse("0198f000-0000-7000-8000-00000000000c")
	full.Resource, full.Tool, full.DurationMS, full.RequestID, full.CallerRequestID, full.Source = "https://r", "t", 5, "r1", "r2", "192.0.2.0/24"
	for name, c := range map[string]struct {
		e    audit.Event
		want string
	}{
		"few members":  {base(), "cd8954f33787172baec457632533ac07ffebe658da7c3e0f8b0a99efa22fd52b"},
		"every member": {full, "f88fec0f0f9b495cb6822488dd80b6818bf45d45190fde13b36accc1f7a54dc7"},
	} {
		if got := audit.Chain(audit.Genesis(tenant.DefaultID), 1, c.e).String(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestEncodingIsInjective: no two different events have one hash, wherever text could move from one member into another.
func TestEncodingIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[audit.Hash]int{}
	variants := []func(*audit.Event){
		func(*audit.Event) {},
		func(e *audit.Event) { e.Tenant = tenant.FromUUID(uuid.New()) },
		func(e *audit.Event) { e.Scopes = []string{"ab"} },
		func(e *audit.Event) { e.Scopes = []string{"a", "b", ""} },
		func(e *audit.Event) { e.Scopes = []string{"", "a", "b"} },
		func(e *audit.Event) { e.Scopes = nil },
		func(e *audit.Event) { e.Detail, e.Client = "c", "d" },
		func(e *audit.Event) { e.Detail, e.Client = "", "dc" },
		func(e *audit.Event) { e.Detail, e.Client = "dc", "" },
		func(e *audit.Event) { e.Detail = "d\x06client\x00\x00\x00\x01\x00\x00\x00\x01c"; e.Client = "" },
		func(e *audit.Event) { e.Grant, e.Subject = e.Subject, uuid.Nil },
		func(e *audit.Event) { e.Connection, e.Subject = e.Subject, uuid.Nil },
		func(e *audit.Event) { e.RequestID = "1" },
		func(e *audit.Event) { e.CallerRequestID = "1" },
		func(e *audit.Event) { e.Source = "1" },
		func(e *audit.Event) { e.Tool = "1" },
		func(e *audit.Event) { e.DurationMS = 1 },
		func(e *audit.Event) { e.At = e.At.Add(time.Microsecond) },
	}
	for i, change := range variants {
		e := base()
		change(&e)
		h := audit.Chain(audit.Hash{}, 1, e)
		if other, twice := seen[h]; twice {
			t.Errorf("variants %d and %d have one hash", other, i)
		}
		seen[h] = i
		if audit.Chain(audit.Hash{1}, 1, e) == h || audit.Chain(audit.Hash{}, 2, e) == h {
			t.Errorf("variant %d has one hash at two places", i)
		}
	}
}

// TestClean: what comes from outside cannot make the database refuse an event, and with it an act.
func TestClean(t *testing.T) {
	t.Parallel()
	e := base()
	e.Tool, e.Client, e.CallerRequestID, e.Outcome = "a\x00b\nc\xff\u202e", strings.Repeat("x", 5000), "<"+strings.Repeat("i", 100), ""
	e.Scopes = make([]string, 500)
	got := e.Clean()
	if got.Tool != "abc" || len(got.Client) != 2048 || len(got.CallerRequestID) != 64 || got.Outcome != audit.OK || len(got.Scopes) != 100 {
		t.Errorf("%q %d %d %q %d", got.Tool, len(got.Client), len(got.CallerRequestID), got.Outcome, len(got.Scopes))
	}
}

// TestSource: a network, never an address, and only proxies of ours are believed about it.
func TestSource(t *testing.T) {
	t.Parallel()
	proxies, err := httpx.ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"198.51.100.77:1234", "", "198.51.100.0/24"},
		{"[2001:db8:1:2:3:4:5:6]:1234", "", "2001:db8:1::/48"},
		{"[::ffff:198.51.100.77]:1234", "", "198.51.100.0/24"},
		{"198.51.100.77:1234", "203.0.113.9", "198.51.100.0/24"},
		{"10.1.2.3:1234", "203.0.113.9", "203.0.113.0/24"},
		{"nonsense", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		var got audit.Request
		audit.Observe(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = audit.FromContext(r.Context()) })).ServeHTTP(httptest.NewRecorder(), r)
		if got.Source != c.want {
			t.Errorf("%s %s: %q", c.peer, c.forwarded, got.Source)
		}
	}
}

// TestAnchor: one spelling, and what is none of it is refused.
func TestAnchor(t *testing.T) {
	t.Parallel()
	a := audit.Anchor{Tenant: tenant.DefaultID, Seq: 7, Hash: audit.Genesis(tenant.DefaultID)}
	if got, err := audit.ParseAnchor(a.String()); err != nil || got != a {
		t.Errorf("%v %v", got, err)
	}
	good := strings.Split(a.String(), ":")
	for _, bad := range []string{"", "x", good[0] + ":7", good[0] + ":0:" + good[2], good[0] + ":-1:" + good[2], good[0] + ":7:" + strings.ToUpper(good[2]), good[0] + ":7:" + good[2][2:], "x:7:" + good[2], a.String() + ":x"} {
		if _, err := audit.ParseAnchor(bad); err == nil {
			t.Errorf("%q is an anchor", bad)
		}
	}
}
