package app_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
	"latchkey/pkg/scope"
)

// TestReportOnly: issue 5: every policy that refuses or ends something can be rehearsed: in force it does, as a dry run it lets everything
// pass and the log names policy, tenant and, where one is known, client. What resource servers enforce is told to them with the mark
// (their side: TestTenantPolicyOfTools, TestTenantPolicyOfOrigins, TestTenantLimits there).
func TestReportOnly(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t, authtest.Limits(2))
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{})
	x := acme.Exchanger(t, acme.Internal)
	v := acme.NewVisit(t)
	tokens := acme.SignIn(t, v)
	signsIn := func() bool {
		q, _ := acme.Walk(t, acme.VisitAs(t, v.Client))
		return q.Get("code") != ""
	}
	tool := "a"
	exchanges := func() bool {
		tool += "a" // what one has used up is not there again at once
		refused := false
		for range 5 { // of a limit of one, which this server's factor makes two a minute
			r := request(tokens, gmailRead)
			r.Tool = tool
			_, err := x.Exchange(t.Context(), r)
			var e *exchange.Error
			if err != nil && (!errors.As(err, &e) || e.Code != "slow_down") {
				t.Fatal(err)
			}
			refused = refused || err != nil
		}
		return !refused
	}
	told := func(name string) func() bool {
		return func() bool {
			list, err := x.Resources(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(list.Tenants, func(one exchange.Tenant) bool { return one.ID == acme.Tenant.String() })
			return slices.Contains(list.Tenants[i].ReportOnly, name)
		}
	}
	scopesKept := func() bool {
		return len(strings.Fields(signInFor(t, acme, "gmail.read calendar.read")["scope"].(string))) == 2
	}
	for name, row := range map[tenant.PolicyName]struct {
		policy  tenant.Policy
		passes  func() bool
		unknown bool // no client is known where it is judged
		there   bool // the resource server logs
	}{
		tenant.ByGoogleDomains: {policy: tenant.Policy{GoogleDomains: []string{"elsewhere.example"}}, passes: signsIn, unknown: true},
		tenant.ByProfile:       {policy: tenant.Policy{Profile: scope.Lite}, passes: scopesKept},
		tenant.ByScopes:        {policy: tenant.Policy{AllowedScopes: []string{"calendar.read"}}, passes: scopesKept},
		tenant.ByClients:       {policy: tenant.Policy{Clients: tenant.ApprovedClient}, passes: signsIn},
		tenant.ByLimits:        {policy: tenant.Policy{Limits: tenant.LimitQuotas{"tool": 1}}, passes: exchanges, unknown: true},
		tenant.BySessions: {policy: tenant.Policy{SessionsMax: 1}, unknown: true, passes: func() bool {
			first, second := authtest.Browser(), authtest.Browser()
			acme.WalkWith(t, first, acme.VisitAs(t, v.Client))
			acme.WalkWith(t, second, acme.VisitAs(t, v.Client))
			return strings.Contains(string(follow(t, first, acme.URL+"/account").Body), "alice@example.com")
		}},
		tenant.ByTools:   {policy: tenant.Policy{AllowedTools: []string{"account_status"}}, passes: told("allowed_tools"), there: true},
		tenant.ByOrigins: {policy: tenant.Policy{AllowedOrigins: []string{"https://app.example"}}, passes: told("allowed_origins"), there: true},
	} {
		changePolicy(t, s, "acme", row.policy)
		if row.passes() {
			t.Errorf("%s in force refuses nothing", name)
		}
		client := v.Client
		if row.unknown {
			client = ""
		}
		said := func() int {
			log := s.Logs.String()
			if client == "" || name == tenant.ByProfile || name == tenant.ByScopes { // whose sign-in had a client of its own
				return strings.Count(log, `"would_refuse":{"policy":"`+string(name)+`","tenant":"`+acme.Tenant.String()+`","client":"`)
			}
			return strings.Count(log, `"would_refuse":{"policy":"`+string(name)+`","tenant":"`+acme.Tenant.String()+`","client":"`+client+`"}`)
		}
		if said() != 0 {
			t.Errorf("%s in force is logged as a dry run", name)
		}
		row.policy.ReportOnly = []tenant.PolicyName{name}
		changePolicy(t, s, "acme", row.policy)
		if !row.passes() {
			t.Errorf("a dry run of %s refuses", name)
		}
		if (said() == 0) != row.there {
			t.Errorf("a dry run of %s: %d lines in the log", name, said())
		}
		changePolicy(t, s, "acme", tenant.Policy{})
	}
	if status, out := acme.Token(t, v.Refresh(tokens["refresh_token"].(string))); status != http.StatusOK { // none of it has ended anything
		t.Errorf("%d %v", status, out)
	}
	for _, name := range tenant.Reportable() {
		if !strings.Contains(s.Logs.String(), `"policy":"`+string(name)+`"`) && name != tenant.ByTools && name != tenant.ByOrigins {
			t.Errorf("%s has no row here", name)
		}
	}
}
