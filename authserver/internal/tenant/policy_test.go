package tenant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// TestParsePolicy: a policy is read strictly: what cannot be read restricts nobody in a way that nobody sees, so it is refused.
func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "",
		`{"google_domains":["example.com"],"profile":"lite","allowed_scopes":["gmail.read"],"allowed_tools":["gmail_search_threads"],
		  "allowed_origins":["https://app.example.com"],"lifetimes":{"access_token":"5m"},"sessions_max":3,
		  "documents":{"mode":"allow-list","hosts":["client.example"]},"report_only":["google_domains","allowed_tools"]}`: "",
		``:                                            "EOF",
		`[]`:                                          "cannot unmarshal",
		`{} {}`:                                       "more than one",
		`{"google_domain":["example.com"]}`:           "unknown field", // a slip of the pen restricts nothing
		`{"google_domains":["Example.com"]}`:          "not a domain in lower case",
		`{"google_domains":["*.example.com"]}`:        "not a domain in lower case",
		`{"google_domains":["example.com:443"]}`:      "not a domain in lower case",
		`{"google_domains":["a@example.com"]}`:        "not a domain in lower case",
		`{"google_domains":[""]}`:                     "not a domain in lower case",
		`{"profile":"everything"}`:                    "no consent profile",
		`{"allowed_scopes":["gmail.everything"]}`:     "no scope gmail.everything",
		`{"allowed_tools":["gmail_*"]}`:               "not the name of a tool",
		`{"allowed_origins":["*"]}`:                   "not an origin",
		`{"allowed_origins":["https://a.example/"]}`:  "not an origin",
		`{"allowed_origins":["https://*.example"]}`:   "not an origin",
		`{"lifetimes":{"access_token":"5 minutes"}}`:  "not a duration",
		`{"lifetimes":{"access_token":"1s"}}`:         "not a duration from 1m0s",
		`{"lifetimes":{"refresh_absolute":"99999h"}}`: "not a duration",
		`{"sessions_max":-1}`:                         "outside",
		`{"clients":"approved","approvals":[{"client_id":"https://app.example/oauth/client","scopes":["gmail.read"],"note":"ticket 7"}],
		  "limits":{"person":5000,"tool":20,"requests":1200},"report_only":["clients","limits","sessions_max"]}`: "",
		`{"clients":"none"}`:                                                                                           "not any or approved",
		`{"approvals":[{"client_id":""}]}`:                                                                             "not the id of a client",
		`{"approvals":[{"client_id":"c 1","scopes":["gmail.read"]}]}`:                                                  "not the id of a client",
		`{"approvals":[{"client_id":"c\n1","scopes":["gmail.read"]}]}`:                                                 "not the id of a client",
		`{"approvals":[{"client_id":"c\"1","scopes":["gmail.read"]}]}`:                                                 "not the id of a client",
		`{"approvals":[{"client_id":"` + strings.Repeat("c", 513) + `","scopes":["gmail.read"]}]}`:                     "not the id of a client",
		`{"approvals":[{"client_id":"c1"}]}`:                                                                           "say which scopes",
		`{"approvals":[{"client_id":"c1","scopes":["*"]}]}`:                                                            "no scope *",
		`{"approvals":[{"client_id":"c1","scopes":["gmail.read"]},{"client_id":"c1","scopes":["accounts"]}]}`:          "twice",
		`{"approvals":[{"client_id":"c1","scopes":["gmail.read"],"name":"Claude"}]}`:                                   "unknown field", // a name identifies nobody
		`{"approvals":[{"client_id":"c1","scopes":["gmail.read"],"note":"` + strings.Repeat("n", 201) + `"}]}`:         "note is longer",
		`{"approvals":[` + strings.Repeat(`{"client_id":"c1","scopes":["gmail.read"]},`, 200) + `{"client_id":"c2"}]}`: "more than 200",
		`{"limits":{"token":5}}`:                                     "that a tenant may have", // counted for all tenants
		`{"limits":{"guess-client":500}}`:                            "that a tenant may have",
		`{"limits":{"persons":5}}`:                                   "that a tenant may have",
		`{"limits":{"person":0}}`:                                    "outside 1 to 100000", // off is for the deployment
		`{"limits":{"person":-1}}`:                                   "outside 1",
		`{"limits":{"tool":10001}}`:                                  "outside 1 to 10000",
		`{"limits":{"tool":1.5}}`:                                    "cannot unmarshal",
		`{"documents":{"mode":"everything"}}`:                        "mode",
		`{"documents":{"mode":"open","hosts":["A."]}}`:               "not a host",
		`{"report_only":["lifetimes"]}`:                              "not one of",
		`{"report_only":["everything"]}`:                             "not one of",
		`{"allowed_tools":["` + strings.Repeat(`a","`, 300) + `a"]}`: "more than",
		`{"profile":"` + strings.Repeat("x", 70<<10) + `"}`:          "longer than",
	} {
		_, err := tenant.ParsePolicy([]byte(text))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

// TestLifetimesOver: the shorter life ends with the longer one, and a client outlives the refresh tokens that it holds.
func TestLifetimesOver(t *testing.T) {
	t.Parallel()
	out, err := tenant.LifetimeTexts{RefreshAbsolute: "24h", SessionAbsolute: "30m"}.Over(tenant.DefaultLifetimes())
	if err != nil || out.RefreshIdle != 24*time.Hour || out.SessionIdle != 30*time.Minute || out.AccessToken != 10*time.Minute {
		t.Errorf("%+v %v", out, err)
	}
	out, err = tenant.LifetimeTexts{RefreshIdle: "4000h", RefreshAbsolute: "5000h"}.Over(tenant.DefaultLifetimes())
	if err != nil || out.ClientUsed <= out.RefreshIdle {
		t.Errorf("%+v %v", out, err)
	}
}

// TestPermitted: what policies leave, each alone and together; a dry run leaves everything; what a broad scope implies is
// allowed with it.
func TestPermitted(t *testing.T) {
	t.Parallel()
	all := oauth.NewScopes("calendar.read", "drive.read", "gmail.read", "gmail.send")
	for name, c := range map[string]struct {
		profile scope.Profile
		policy  tenant.Policy
		want    string
	}{
		"no policy":                  {scope.Full, tenant.Policy{}, all.String()},
		"the zero profile":           {"", tenant.Policy{}, ""},
		"the deployment's profile":   {scope.Lite, tenant.Policy{}, "calendar.read gmail.send"},
		"allowed scopes":             {scope.Full, tenant.Policy{AllowedScopes: []string{"gmail.read"}}, "gmail.read"},
		"profile and allowed scopes": {scope.Full, tenant.Policy{Profile: scope.Lite, AllowedScopes: []string{"gmail.read", "gmail.send"}}, "gmail.send"},
		"a dry run of both":          {scope.Full, tenant.Policy{Profile: scope.Lite, AllowedScopes: []string{"gmail.read"}, ReportOnly: []tenant.PolicyName{tenant.ByProfile, tenant.ByScopes}}, all.String()},
		"a dry run of one":           {scope.Full, tenant.Policy{Profile: scope.Lite, AllowedScopes: []string{"gmail.read"}, ReportOnly: []tenant.PolicyName{tenant.ByProfile}}, "gmail.read"},
		"a dry run beside a profile": {scope.Lite, tenant.Policy{AllowedScopes: []string{"gmail.read"}, ReportOnly: []tenant.PolicyName{tenant.ByScopes}}, "calendar.read gmail.send"},
		"what a broad scope implies": {scope.Full, tenant.Policy{AllowedScopes: []string{"drive.write"}}, "drive.read"},
	} {
		tn := &tenant.Tenant{Profile: c.profile, Policy: c.policy}
		if got := tn.Permitted(t.Context(), all, "c1"); got.String() != c.want {
			t.Errorf("%s: %s", name, got)
		}
		limit, limited := tn.ScopeLimit()
		if got := all.Intersect(limit); got.String() != c.want || limited == limit.ContainsAll(scope.Names()) {
			t.Errorf("%s: the limit leaves %s, limited %v", name, got, limited)
		}
	}
}

// TestServes: only a tenant that is known to be active takes part; doubt is doubt.
func TestServes(t *testing.T) {
	t.Parallel()
	for status, want := range map[tenant.Status]int{tenant.Active: 0, tenant.Suspended: 403, "": 503, "deleted": 503} {
		err := (&tenant.Tenant{Status: status}).Serves()
		got := 0
		if e, ok := err.(*oauth.Error); ok {
			got = e.HTTPStatus()
		}
		if got != want || (want == 0) != (err == nil) {
			t.Errorf("%q: %v", status, err)
		}
	}
}

// TestAssemble: who claims what is another's is left out, and the others are served.
func TestAssemble(t *testing.T) {
	t.Parallel()
	d, first := make2(t)
	acme, _, ok := d.Resolve("auth.example.com", "/t/acme/token")
	if !ok {
		t.Fatal("no acme")
	}
	thief := *acme
	thief.ID, thief.Slug, thief.Issuer = tenant.FromUUID([16]byte{1}), "thief", issuer(t, "https://auth.example.com/t/thief")
	for name, claim := range map[string]func(*tenant.Tenant){
		"slug":                   func(x *tenant.Tenant) { x.Slug = "acme" },
		"issuer":                 func(x *tenant.Tenant) { x.Issuer = acme.Issuer },
		"id":                     func(x *tenant.Tenant) { x.ID = acme.ID },
		"the default's issuer":   func(x *tenant.Tenant) { x.Issuer = first.Issuer },
		"the default's slug":     func(x *tenant.Tenant) { x.Slug = "default" },
		"the default's resource": func(x *tenant.Tenant) { x.Resources = first.Resources },
	} {
		x := thief
		claim(&x)
		got, refused := tenant.Assemble(first, acme, &x)
		if len(refused) != 1 || got == nil || !slices.Equal(ids(got), ids(d)) {
			t.Errorf("%s: %v", name, refused)
		}
		if _, err := tenant.NewDirectory(first, acme, &x); err == nil {
			t.Errorf("%s: a directory with both", name)
		}
	}
}

func ids(d *tenant.Directory) []string {
	var out []string
	for _, t := range d.All() {
		out = append(out, t.ID.String())
	}
	slices.Sort(out)
	return out
}

func issuer(t *testing.T, s string) oauth.IssuerURL {
	t.Helper()
	i, err := oauth.ParseIssuerURL(s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestAdmitsClient: PEERS A1: exact ids, and no other client of any likeness; a dry run lets everybody in; the limit of an approval
// joins those of the other policies and never widens them.
func TestAdmitsClient(t *testing.T) {
	t.Parallel()
	const document = "https://app.example/oauth/client"
	approvals := []tenant.Approval{{ClientID: document, Scopes: []string{"gmail.organize", "drive.read"}}, {ClientID: "c_1", Scopes: []string{"accounts"}}}
	tn := &tenant.Tenant{Profile: scope.Full, Policy: tenant.Policy{Clients: tenant.ApprovedClient, Approvals: approvals}}
	for id, want := range map[string]bool{
		document: true, "c_1": true, document + "/": false, document + "?": false, "HTTPS://app.example/oauth/client": false, "https://app.example/oauth/": false,
		"https://app.example/oauth/client2": false, "c_": false, "c_12": false, "C_1": false, "": false, "*": false,
	} {
		for rule, admitted := range map[tenant.ClientRule]bool{"": true, tenant.AnyClient: true, tenant.ApprovedClient: want} {
			tn.Policy.Clients = rule
			if err := tn.AdmitsClient(t.Context(), id); (err == nil) != admitted || err != nil && (err.Code != oauth.AccessDenied || err.HTTPStatus() != 403 || !strings.Contains(err.Description, id)) {
				t.Errorf("%q under %q: %v", id, rule, err)
			}
		}
	}
	tn.Policy.Clients = tenant.ApprovedClient
	asked := oauth.NewScopes("drive.read", "gmail.read", "gmail.send")
	limited := func(name, id, want string) {
		t.Helper()
		limit, some := tn.ClientScopeLimit(id)
		if got := asked.Intersect(limit); got.String() != want || some == limit.ContainsAll(scope.Names()) {
			t.Errorf("%s: the limit leaves %q, limited %v", name, got, some)
		}
		if got := tn.Permitted(t.Context(), asked, id); got.String() != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	limited("what a broad scope implies", document, "drive.read gmail.read")
	limited("none of it", "c_1", "")
	limited("no approval", "c_2", "") // whoever forgets to ask AdmitsClient gets nothing
	tn.Policy.AllowedScopes = []string{"gmail.read", "gmail.send"}
	limited("two policies", document, "gmail.read")
	tn.Policy.ReportOnly = []tenant.PolicyName{tenant.ByClients}
	limited("a dry run of one", document, "gmail.read gmail.send")
	limited("a dry run, no approval", "c_2", "gmail.read gmail.send")
	if err := tn.AdmitsClient(t.Context(), "c_2"); err != nil {
		t.Error(err)
	}
	tn.Policy.Clients, tn.Policy.ReportOnly = tenant.AnyClient, nil
	limited("any client", document, "gmail.read gmail.send")

	p := tenant.Policy{Approvals: approvals}
	p.Approve(tenant.Approval{ClientID: "c_1", Scopes: []string{"drive.read"}})
	if len(p.Approvals) != 2 || p.Approval("c_1").Scopes[0] != "drive.read" || approvals[1].Scopes[0] != "accounts" {
		t.Errorf("%+v, before %+v", p.Approvals, approvals)
	}
	if !p.Unapprove("c_1") || p.Unapprove("c_1") || p.Approval("c_1") != nil || p.Approval(document) == nil || len(approvals) != 2 {
		t.Errorf("%+v", p.Approvals)
	}
}

// TestNarrows: decision 0016: what a tenant's own administrator makes of the standing policy allows nothing more than that does.
// A profile and limits that are only said take the deployment's place once they are enforced, and that may be narrower.
func TestNarrows(t *testing.T) {
	for _, row := range []struct {
		name, standing, into string
		narrows              bool
	}{
		{"the same", `{"report_only":["profile","limits"],"profile":"full","limits":{"tool":10000}}`, `{"report_only":["limits","profile"],"profile":"full","limits":{"tool":10000}}`, true},
		{"domains enforced", `{"google_domains":["a.example"],"report_only":["google_domains"]}`, `{"google_domains":["a.example"]}`, true},
		{"clients enforced", `{"clients":"approved","report_only":["clients"]}`, `{"clients":"approved"}`, true},
		{"clients not enforced", `{"clients":"approved"}`, `{"clients":"approved","report_only":["clients"]}`, false},
		{"any client", `{"clients":"approved"}`, `{"clients":"any"}`, false},
		{"another approval", `{"clients":"approved"}`, `{"clients":"approved","approvals":[{"client_id":"c","scopes":["gmail.read"]}]}`, false},
		{"other limits", `{"limits":{"tool":10}}`, `{}`, false},
		{"limits beyond the deployment's enforced", `{"limits":{"tool":10000},"report_only":["limits"]}`, `{"limits":{"tool":10000}}`, false},
		{"a profile beyond the deployment's enforced", `{"profile":"full","report_only":["profile"]}`, `{"profile":"full"}`, false},
	} {
		standing, err := tenant.ParsePolicy([]byte(row.standing))
		if err != nil {
			t.Fatal(row.name, err)
		}
		into, err := tenant.ParsePolicy([]byte(row.into))
		if err != nil {
			t.Fatal(row.name, err)
		}
		if err := into.Narrows(standing); (err == nil) != row.narrows {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
