package exchange_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// TestGoldenRequests: the wire form, member by member (DESIGN §6, RFC 8693 §2.1), as the client sends it and as the server reads it; what the
// server does not know it ignores.
func TestGoldenRequests(t *testing.T) {
	t.Parallel()
	const fixed = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
	const types = "requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
	const google = "resource=https%3A%2F%2Fwww.googleapis.com%2F"
	const subject = "subject_token=subject-token&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
	token, scopes := secret.NewText("subject-token"), oauth.NewScopes("b", "a")
	for name, row := range map[string]struct {
		request exchange.Request
		form    string
	}{
		"least":   {exchange.Request{SubjectToken: token}, fixed + "&" + types + "&" + google + "&scope=&" + subject},
		"account": {exchange.Request{SubjectToken: token, Scopes: scopes, Account: "acc_1"}, "account=acc_1&" + fixed + "&" + types + "&" + google + "&scope=a+b&" + subject},
		"forced, version unknown": {exchange.Request{SubjectToken: token, Scopes: scopes, ForceRefresh: true},
			"force_refresh=true&" + fixed + "&" + types + "&" + google + "&scope=a+b&" + subject},
		"everything": {full(), "account=acc_1&force_refresh=true&" + fixed + "&grant_version=7&min_ttl=120&request_id=r1&" + types + "&" + google + "&scope=a+b&" + subject +
			"&tool=gmail_search_threads"},
	} {
		if got := row.request.Form().Encode(); got != row.form {
			t.Errorf("%s is sent as\n%s, not\n%s", name, got, row.form)
		}
		form, err := url.ParseQuery(row.form + "&member_of_tomorrow=1&client_assertion=x")
		if err != nil {
			t.Fatal(err)
		}
		got, refused := exchange.ParseForm(form)
		if refused != nil || !got.Scopes.Equal(row.request.Scopes) {
			t.Errorf("%s is read as %+v: %v", name, got, refused)
			continue
		}
		if got.Scopes = row.request.Scopes; !reflect.DeepEqual(*got, row.request) {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", full(), full(), full()); strings.Contains(s, "subject-token") {
		t.Errorf("the subject token prints: %s", s)
	}
}

// TestRequestRefusals: what the server does not take, with the code that says why.
func TestRequestRefusals(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(url.Values)
		want   oauth.Code
	}{
		"another grant type":    {func(f url.Values) { f.Set("grant_type", "refresh_token") }, oauth.UnsupportedGrantType},
		"no grant type":         {func(f url.Values) { f.Del("grant_type") }, oauth.UnsupportedGrantType},
		"no subject token":      {func(f url.Values) { f.Del("subject_token") }, oauth.InvalidRequest},
		"a refresh token":       {func(f url.Values) { f.Set("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token") }, oauth.InvalidRequest},
		"wants a refresh token": {func(f url.Values) { f.Set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token") }, oauth.InvalidRequest},
		"another resource":      {func(f url.Values) { f.Set("resource", "https://www.googleapis.com") }, oauth.InvalidTarget},
		"malformed scope":       {func(f url.Values) { f.Set("scope", "\"") }, oauth.InvalidScope},
		"twice":                 {func(f url.Values) { f.Add("account", "acc_2") }, oauth.InvalidRequest},
		"an unknown one twice":  {func(f url.Values) { f["x"] = []string{"1", "2"} }, oauth.InvalidRequest},
		"min_ttl negative":      {func(f url.Values) { f.Set("min_ttl", "-1") }, oauth.InvalidRequest},
		"min_ttl too long":      {func(f url.Values) { f.Set("min_ttl", "1801") }, oauth.InvalidRequest},
		"min_ttl no number":     {func(f url.Values) { f.Set("min_ttl", "1m") }, oauth.InvalidRequest},
		"version negative":      {func(f url.Values) { f.Set("grant_version", "-1") }, oauth.InvalidRequest},
		"version no number":     {func(f url.Values) { f.Set("grant_version", "99999999999999999999") }, oauth.InvalidRequest},
		"endless account":       {func(f url.Values) { f.Set("account", strings.Repeat("a", 161)) }, oauth.InvalidRequest},
		"endless tool":          {func(f url.Values) { f.Set("tool", strings.Repeat("a", 65)) }, oauth.InvalidRequest},
		"endless request id":    {func(f url.Values) { f.Set("request_id", strings.Repeat("a", 65)) }, oauth.InvalidRequest},
	} {
		form := full().Form()
		row.change(form)
		if _, refused := exchange.ParseForm(form); refused == nil || refused.Code != row.want || strings.Contains(refused.Error(), "subject-token") {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

// TestGoldenAnswers: every answer as the server renders it, byte for byte, and as the client reads it; what the client does not know it ignores.
func TestGoldenAnswers(t *testing.T) {
	t.Parallel()
	success := exchange.Response{AccessToken: "g", IssuedTokenType: oauth.TokenTypeAccessToken, TokenType: "Bearer", ExpiresIn: 3599, Scope: "a b",
		Account: "acc_1", AccountEmail: "alice@example.com", GrantVersion: 7, CacheTTL: 240}
	const plain = `{"access_token":"g","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3599,"scope":"a b",` +
		`"account":"acc_1","account_email":"alice@example.com","grant_version":7,"cache_ttl":240}`
	warned := success
	warned.Warning = &exchange.Warning{Code: exchange.TestingEnds, EndsIn: 7200}
	type writer interface{ Write(w http.ResponseWriter) }
	interaction := func(reason exchange.Reason) *exchange.Error {
		return &exchange.Error{Code: oauth.InteractionRequired, Reason: reason, Description: "d", InteractionURI: "https://as/i", Account: "acc_1"}
	}
	const link = `,"interaction_uri":"https://as/i","account":"acc_1"}`
	missing := interaction(exchange.MissingGoogleScopes)
	missing.MissingScopes = []string{"x", "y"}
	for name, row := range map[string]struct {
		answer writer
		status int
		body   string
		after  string // Retry-After
	}{
		"success":         {&success, 200, plain, ""},
		"success, warned": {&warned, 200, strings.TrimSuffix(plain, "}") + `,"warning":{"code":"testing_ends","ends_in":7200}}`, ""},
		"not_linked":      {interaction(exchange.NotLinked), 400, `{"error":"interaction_required","error_description":"d","error_code":"not_linked"` + link, ""},
		"reauth_required": {interaction(exchange.ReauthRequired), 400, `{"error":"interaction_required","error_description":"d","error_code":"reauth_required"` + link, ""},
		"missing_google_scopes": {missing, 400, `{"error":"interaction_required","error_description":"d","error_code":"missing_google_scopes",` +
			`"interaction_uri":"https://as/i","missing_scopes":["x","y"],"account":"acc_1"}`, ""},
		"testing_expired":      {interaction(exchange.TestingExpired), 400, `{"error":"interaction_required","error_description":"d","error_code":"testing_expired"` + link, ""},
		"admin_policy_blocked": {interaction(exchange.AdminPolicyBlocked), 400, `{"error":"interaction_required","error_description":"d","error_code":"admin_policy_blocked"` + link, ""},
		"insufficient_scope":   {&exchange.Error{Code: oauth.InsufficientScope, Description: "d", Scope: "gmail.read"}, 403, `{"error":"insufficient_scope","error_description":"d","scope":"gmail.read"}`, ""},
		"account_selection_required": {&exchange.Error{Code: exchange.AccountSelectionRequired, Description: "d", Accounts: []exchange.Account{{Handle: "acc_1", Alias: "work", MaskedEmail: "a…@example.com"}, {Handle: "acc_2"}}}, 400,
			`{"error":"account_selection_required","error_description":"d","accounts":[{"handle":"acc_1","alias":"work","masked_email":"a…@example.com"},{"handle":"acc_2"}]}`, ""},
		"invalid_grant":           {&exchange.Error{Code: oauth.InvalidGrant, Description: "d"}, 400, `{"error":"invalid_grant","error_description":"d"}`, ""},
		"invalid_target":          {&exchange.Error{Code: oauth.InvalidTarget, Description: "d"}, 400, `{"error":"invalid_target","error_description":"d"}`, ""},
		"invalid_request":         {&exchange.Error{Code: oauth.InvalidRequest, Description: "d"}, 400, `{"error":"invalid_request","error_description":"d"}`, ""},
		"invalid_scope":           {&exchange.Error{Code: oauth.InvalidScope, Description: "d"}, 400, `{"error":"invalid_scope","error_description":"d"}`, ""},
		"unsupported_grant_type":  {&exchange.Error{Code: oauth.UnsupportedGrantType, Description: "d"}, 400, `{"error":"unsupported_grant_type","error_description":"d"}`, ""},
		"unauthorized_client":     {&exchange.Error{Code: oauth.UnauthorizedClient, Description: "d"}, 400, `{"error":"unauthorized_client","error_description":"d"}`, ""},
		"invalid_client":          {&exchange.Error{Code: oauth.InvalidClient, Description: "d"}, 401, `{"error":"invalid_client","error_description":"d"}`, ""},
		"server_error":            {&exchange.Error{Code: oauth.ServerError, Description: "d"}, 500, `{"error":"server_error","error_description":"d"}`, ""},
		"temporarily_unavailable": {&exchange.Error{Code: oauth.TemporarilyUnavailable, Description: "d", RetryAfter: 2}, 503, `{"error":"temporarily_unavailable","error_description":"d","retry_after":2}`, "2"},
		"slow_down":               {&exchange.Error{Code: oauth.SlowDown, Description: "d", RetryAfter: 9}, 429, `{"error":"slow_down","error_description":"d","retry_after":9}`, "9"},
		"a status of its own":     {&exchange.Error{Code: oauth.InvalidRequest, Description: "d", Status: 405, Cause: errors.New("canary")}, 405, `{"error":"invalid_request","error_description":"d"}`, ""},
	} {
		rendered := httptest.NewRecorder()
		row.answer.Write(rendered)
		if got := rendered.Body.String(); got != row.body+"\n" || rendered.Code != row.status || rendered.Header().Get("Retry-After") != row.after ||
			rendered.Header().Get("Cache-Control") != "no-store" || rendered.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s is rendered as %d %v\n%s, not\n%s", name, rendered.Code, rendered.Header(), got, row.body)
		}
		for what, body := range map[string]string{"as it is": row.body, "from tomorrow": strings.TrimSuffix(row.body, "}") + `,"member_of_tomorrow":{"error":"x"}}`} {
			c, _ := client(t, key(t), func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(row.status)
				_, _ = w.Write([]byte(body))
			})
			got, err := c.Exchange(t.Context(), full())
			var read *exchange.Error
			switch want := row.answer.(type) {
			case *exchange.Response:
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s, is read as %+v: %v", name, what, got, err)
				}
			case *exchange.Error:
				same := *want
				same.Status, same.Cause = row.status, nil
				if !errors.As(err, &read) || !reflect.DeepEqual(*read, same) {
					t.Errorf("%s, %s, is read as %+v", name, what, read)
				}
			}
		}
	}
}

// TestGoldenAccounts: the wire form of the list of accounts, as the client sends and
// reads it, and what is refused on either side.
func TestGoldenAccounts(t *testing.T) {
	t.Parallel()
	const form = "subject_token=subject-token&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&tool=accounts_list"
	request := exchange.AccountsRequest{SubjectToken: secret.NewText("subject-token"), Tool: "accounts_list"}
	if got := request.Form().Encode(); got != form {
		t.Errorf("sent as %s", got)
	}
	read := func(extra string) (*exchange.AccountsRequest, *exchange.Error) {
		t.Helper()
		f, err := url.ParseQuery(form + extra)
		if err != nil {
			t.Fatal(err)
		}
		return exchange.ParseAccountsForm(f)
	}
	if got, refused := read("&member_of_tomorrow=1"); refused != nil || !reflect.DeepEqual(*got, request) {
		t.Errorf("read as %+v: %v", got, refused)
	}
	for name, extra := range map[string]string{"twice": "&tool=x", "another token type": "&subject_token_type=x"} {
		if _, refused := read(extra); refused == nil || refused.Code != oauth.InvalidRequest {
			t.Errorf("%s: %v", name, refused)
		}
	}
	for name, form := range map[string]url.Values{
		"no token": {"subject_token_type": {oauth.TokenTypeAccessToken}}, "no type": {"subject_token": {"x"}},
		"endless tool": {"subject_token": {"x"}, "subject_token_type": {oauth.TokenTypeAccessToken}, "tool": {strings.Repeat("a", 65)}},
	} {
		if _, refused := exchange.ParseAccountsForm(form); refused == nil || refused.Code != oauth.InvalidRequest {
			t.Errorf("%s: %v", name, refused)
		}
	}
}
