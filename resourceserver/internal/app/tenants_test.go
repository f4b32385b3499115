package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/pkg/exchange"
)

// served is a tenant of a test: its resource, and how its tokens are made.
type served struct {
	exchange.Tenant
	url string
	key jose.JSONWebKey
}

func newServed(t testing.TB, id, issuer, url string, change func(*exchange.Tenant)) served {
	t.Helper()
	s := served{url: url, key: newKey(t, "k-"+id), Tenant: exchange.Tenant{
		ID: id, Issuer: issuer, KeysPath: exchange.KeysPath + id, Status: exchange.TenantActive, Resources: []exchange.Resource{{URL: url}},
	}}
	if change != nil {
		change(&s.Tenant)
	}
	return s
}

func (s served) token(a *authority, change func(map[string]any)) string {
	c := a.claims(all)
	c["iss"], c["aud"], c["tid"] = s.Issuer, s.url, s.ID
	if change != nil {
		change(c)
	}
	return a.sign(c, s.key, "at+jwt")
}

// list gives the tenants to the resource server and waits until it has them.
func (r *rig) list(probe string, status int, tenants ...served) {
	r.t.Helper()
	r.as.set(func() {
		r.as.tenants, r.as.keys = []exchange.Tenant{{ID: tenant, Issuer: r.as.url, KeysPath: exchange.KeysPath + tenant, Status: exchange.TenantActive,
			Resources: []exchange.Resource{{URL: r.mcp}}}}, map[string]jose.JSONWebKey{}
		for _, one := range tenants {
			r.as.keys[one.ID] = one.key
			if one.ID == tenant {
				r.as.tenants[0] = one.Tenant
				continue
			}
			r.as.tenants = append(r.as.tenants, one.Tenant)
		}
	})
	// The list is asked for in real time.
	eventually(r.t, fmt.Sprint(probe, " to be ", status), func() bool { return r.send(http.MethodPost, probe, "", list).status == status })
}

const (
	acmeID   = "0198f000-0000-7000-8000-0000000000a1"
	globexID = "0198f000-0000-7000-8000-0000000000a2"
)

func (r *rig) twoTenants(change func(*exchange.Tenant)) (acme, globex served) {
	port := r.origin[strings.LastIndexByte(r.origin, ':'):]
	acme = newServed(r.t, acmeID, "https://auth.example.com/t/acme", r.origin+"/t/acme/mcp", change)
	globex = newServed(r.t, globexID, "https://auth.globex.example", "http://localhost"+port+"/mcp", change)
	r.list(acme.url, http.StatusUnauthorized, acme, globex)
	return acme, globex
}

// TestTwoTenantsAreServed: DESIGN §3: tenants by path and by host are learned from the authorization server, each with its
// own document, issuer, audience and keys; a token of one is refused at every other.
func TestTwoTenantsAreServed(t *testing.T) {
	t.Parallel()
	r := start(t)
	if out := r.send(http.MethodPost, r.origin+"/t/acme/mcp", "", list); out.status != http.StatusNotFound {
		t.Errorf("before it is known: %d", out.status)
	}
	acme, globex := r.twoTenants(nil)
	own := served{url: r.mcp, key: r.as.key, Tenant: exchange.Tenant{ID: tenant, Issuer: r.as.url}}
	for _, at := range []served{own, acme, globex} {
		resp := r.send(http.MethodGet, metadataOf(at.url), "", "")
		var m struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
		}
		if err := json.Unmarshal([]byte(resp.body), &m); err != nil || m.Resource != at.url || len(m.Servers) != 1 || m.Servers[0] != at.Issuer {
			t.Errorf("%s: %d %s", at.url, resp.status, resp.body)
		}
		if out := r.send(http.MethodPost, at.url, "", list); !strings.Contains(out.header.Get("WWW-Authenticate"), `resource_metadata="`+metadataOf(at.url)+`"`) {
			t.Errorf("%s: %s", at.url, out.header.Get("WWW-Authenticate"))
		}
		for _, of := range []served{own, acme, globex} {
			want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[at.url == of.url]
			if out := r.send(http.MethodPost, at.url, of.token(r.as, nil), list); out.status != want {
				t.Errorf("a token of %s at %s: %d %s", of.url, at.url, out.status, out.body)
			}
		}
	}
	for name, token := range map[string]string{
		"A14 the other audience":             acme.token(r.as, func(c map[string]any) { c["aud"] = globex.url }),
		"A13 the other issuer":               acme.token(r.as, func(c map[string]any) { c["iss"] = globex.Issuer }),
		"A13 the other tenant":               acme.token(r.as, func(c map[string]any) { c["tid"] = globex.ID }),
		"A13 signed by the other's key":      served{url: acme.url, key: globex.key, Tenant: acme.Tenant}.token(r.as, nil),
		"A13 the other's key under our kid":  served{url: acme.url, key: func() jose.JSONWebKey { k := globex.key; k.KeyID = acme.key.KeyID; return k }(), Tenant: acme.Tenant}.token(r.as, nil),
		"A14 both audiences":                 acme.token(r.as, func(c map[string]any) { c["aud"] = []string{acme.url, globex.url} }),
		"A14 the deployment's own audience":  acme.token(r.as, func(c map[string]any) { c["aud"] = r.mcp }),
		"an alias in place of the canonical": acme.token(r.as, func(c map[string]any) { c["aud"] = acme.url + "/" }),
	} {
		t.Run(name, func(t *testing.T) {
			if out := r.send(http.MethodPost, acme.url, token, list); out.status != http.StatusUnauthorized {
				t.Errorf("%d %s", out.status, out.body)
			}
		})
	}
	// The host chooses which rules hold, and never fewer.
	if out := r.send(http.MethodPost, r.mcp, own.token(r.as, nil), list, "Host", strings.TrimPrefix(strings.TrimSuffix(globex.url, "/mcp"), "http://")); out.status != http.StatusUnauthorized {
		t.Errorf("the deployment's token under the tenant's host: %d", out.status)
	}
	if out := r.send(http.MethodPost, acme.url, acme.token(r.as, nil), list, "Host", "evil.example"); out.status != http.StatusForbidden {
		t.Errorf("a foreign host: %d", out.status)
	}
	for at, resource := range map[string]string{r.mcp: r.mcp, globex.url: globex.url} { // the host's own, of everything
		root := strings.TrimSuffix(at, "/mcp") + "/.well-known/oauth-protected-resource"
		if out := r.send(http.MethodGet, root, "", ""); !strings.Contains(out.body, `"resource":"`+resource+`"`) {
			t.Errorf("%s: %d %s", root, out.status, out.body)
		}
	}
	for _, path := range []string{"/t/nobody/mcp", "/t/acme/mcp/", "/t/acme", "/t/ACME/mcp"} {
		if out := r.send(http.MethodPost, r.origin+path, own.token(r.as, nil), list); out.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, out.status)
		}
	}
}

func metadataOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/.well-known/oauth-protected-resource/" + path
}

// TestTenantIsCutOff: a suspended tenant's tokens are refused within 10 s, with words and without a challenge; the others go
// on; a tenant that is gone is gone.
func TestTenantIsCutOff(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme, globex := r.twoTenants(nil)
	token := acme.token(r.as, nil)
	if out := r.send(http.MethodPost, acme.url, token, list); out.status != http.StatusOK {
		t.Fatal(out.status, out.body)
	}
	acme.Status = exchange.TenantSuspended
	r.list(acme.url, http.StatusForbidden, acme, globex)
	out := r.send(http.MethodPost, acme.url, token, list)
	if out.status != http.StatusForbidden || out.header.Get("WWW-Authenticate") != "" || !strings.Contains(out.body, "administrator") {
		t.Errorf("%d %v %s", out.status, out.header, out.body)
	}
	if out := r.send(http.MethodPost, globex.url, globex.token(r.as, nil), list); out.status != http.StatusOK {
		t.Errorf("the other tenant: %d", out.status)
	}
	acme.Status = "on_hold" // of a newer authorization server
	r.list(acme.url, http.StatusServiceUnavailable, acme, globex)
	r.list(acme.url, http.StatusNotFound, globex)
	if out := r.send(http.MethodPost, r.mcp, r.as.mint(all), list); out.status != http.StatusOK {
		t.Errorf("the deployment's own: %d", out.status)
	}
}

// TestLastGoodListServes: while the list does not answer, or answers nonsense, what was known holds.
func TestLastGoodListServes(t *testing.T) {
	t.Parallel()
	r := start(t)
	if out := r.send(http.MethodPost, r.mcp, r.as.mint(all), list); out.status != http.StatusOK { // the settings are enough
		t.Errorf("before the list answered: %d", out.status)
	}
	acme, _ := r.twoTenants(nil)
	var before int
	r.as.set(func() { r.as.tenants, before = nil, r.as.listed })
	asked := func() (n int) { r.as.set(func() { n = r.as.listed - before }); return n }
	eventually(t, "the list to be asked for twice more", func() bool { return asked() >= 2 })
	if out := r.send(http.MethodPost, acme.url, acme.token(r.as, nil), list); out.status != http.StatusOK {
		t.Errorf("%d %s", out.status, out.body)
	}
}

// TestTenantPolicyOfTools: tools that the tenant does not allow are neither listed nor run; a dry run serves and logs them; a
// resource for one product serves that product.
func TestTenantPolicyOfTools(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme, globex := r.twoTenants(func(x *exchange.Tenant) { x.AllowedTools = []string{"account_status", "drive_search"} })
	globex.ReportOnly = []string{"allowed_tools"}
	gmail := newServed(t, "0198f000-0000-7000-8000-0000000000a3", "https://auth.example.com/t/mail", r.origin+"/t/mail/gmail", func(x *exchange.Tenant) { x.Resources[0].Product = "gmail" })
	none := newServed(t, "0198f000-0000-7000-8000-0000000000a4", "https://auth.example.com/t/none", r.origin+"/t/none/mcp", func(x *exchange.Tenant) { x.AllowedTools = []string{"nonsense"} })
	r.list(none.url, http.StatusServiceUnavailable, acme, globex, gmail, none)
	for of, want := range map[*served]map[string]bool{
		&acme:   {"account_status": true, "drive_search": true, "gmail_search_threads": false},
		&globex: {"account_status": true, "drive_search": true, "gmail_search_threads": true},
		&gmail:  {"account_status": true, "drive_search": false, "gmail_search_threads": true},
	} {
		out := r.send(http.MethodPost, of.url, of.token(r.as, nil), list)
		for name, there := range want {
			if strings.Contains(out.body, `"`+name+`"`) != there {
				t.Errorf("%s lists %s: %v", of.url, name, !there)
			}
		}
	}
	asked := len(r.as.requests())
	out := r.send(http.MethodPost, acme.url, acme.token(r.as, nil), callBody("gmail_search_threads", map[string]any{"query": "budget"}))
	if len(r.as.requests()) != asked || strings.Contains(out.body, "Budget") {
		t.Errorf("a forbidden tool ran: %d %s", out.status, out.body)
	}
	if out := r.send(http.MethodPost, globex.url, globex.token(r.as, nil), callBody("gmail_search_threads", map[string]any{"query": "budget"})); out.status != http.StatusOK || len(r.as.requests()) == asked {
		t.Errorf("a dry run: %d %s", out.status, out.body)
	}
	if !strings.Contains(r.log.String(), `"would_refuse":{"policy":"allowed_tools","tenant":"`+globexID+`","client":"client"}`) {
		t.Error("the dry run is not in the log")
	}
	// What a tool may not read its address does not open either.
	logged := strings.Count(r.log.String(), "would_refuse")
	asked = len(r.as.requests())
	uri := map[string]any{"uri": "gmail://thread/x"}
	if res, failure, _ := r.rpc(acme.url, acme.token(r.as, nil), "resources/read", uri); res != nil || failure == nil || len(r.as.requests()) != asked {
		t.Errorf("a forbidden tool ran behind an address: %v", res)
	}
	if _, _, out := r.rpc(globex.url, globex.token(r.as, nil), "resources/read", uri); !strings.Contains(out.body, "no such item") || strings.Count(r.log.String(), "would_refuse") != logged+1 {
		t.Errorf("a dry run of an address: %d %s", out.status, out.body)
	}
}

// TestTenantPolicyOfOrigins: a tenant's origins replace those of the settings, at its own resource alone; a dry run lets both
// on and logs.
func TestTenantPolicyOfOrigins(t *testing.T) {
	t.Parallel()
	r := start(t)
	acme, globex := r.twoTenants(func(x *exchange.Tenant) { x.AllowedOrigins = []string{"https://app.acme.example"} })
	globex.ReportOnly = []string{"allowed_origins"}
	r.list(acme.url, http.StatusUnauthorized, acme, globex)
	eventually(t, "the dry run to be in force", func() bool {
		return r.send(http.MethodPost, globex.url, "", list, "Origin", "https://inspector.example").status != http.StatusForbidden
	})
	for _, c := range []struct {
		at     string
		origin string
		want   int
	}{
		{acme.url, "https://app.acme.example", http.StatusUnauthorized}, {acme.url, "https://inspector.example", http.StatusForbidden}, {acme.url, "https://evil.example", http.StatusForbidden},
		{globex.url, "https://app.acme.example", http.StatusUnauthorized}, {globex.url, "https://inspector.example", http.StatusUnauthorized}, {globex.url, "https://evil.example", http.StatusForbidden},
		{r.mcp, "https://app.acme.example", http.StatusForbidden}, {r.mcp, "https://inspector.example", http.StatusUnauthorized},
	} {
		if out := r.send(http.MethodPost, c.at, "", list, "Origin", c.origin); out.status != c.want {
			t.Errorf("%s from %s: %d", c.at, c.origin, out.status)
		}
	}
	if !strings.Contains(r.log.String(), `"would_refuse":{"policy":"allowed_origins","tenant":"`+globexID+`"`) {
		t.Error("the dry run is not in the log")
	}
}
