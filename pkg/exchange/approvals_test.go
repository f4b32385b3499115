package exchange_test

import (
	"errors"
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

var digest = strings.Repeat("0a", 32)

func question() exchange.ApprovalRequest {
	return exchange.ApprovalRequest{SubjectToken: secret.NewText("subject-token"), Tool: "drive_share", Account: "work", Digest: digest, Question: "Share “Plan & budget” with b@example.com?\nAs: editor"}
}

// TestGoldenApprovalForm: the wire form of a question, as the client sends it and as
// the server reads it.
func TestGoldenApprovalForm(t *testing.T) {
	t.Parallel()
	form := "account=work&digest=" + digest + "&question=Share+%E2%80%9CPlan+%26+budget%E2%80%9D+with+b%40example.com%3F%0AAs%3A+editor" +
		"&subject_token=subject-token&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&tool=drive_share"
	if got := question().Form().Encode(); got != form {
		t.Errorf("sent as\n%s, not\n%s", got, form)
	}
	f, err := url.ParseQuery(form + "&member_of_tomorrow=1&client_assertion=x")
	if err != nil {
		t.Fatal(err)
	}
	if got, refused := exchange.ParseApprovalForm(f); refused != nil || !reflect.DeepEqual(*got, question()) {
		t.Errorf("read as %+v: %v", got, refused)
	}
	plain := question()
	plain.Account = ""
	if got := plain.Form().Encode(); got != strings.TrimPrefix(form, "account=work&") {
		t.Errorf("without an account sent as\n%s", got)
	}
	longest := question()
	longest.Question = strings.Repeat("\x01", exchange.MaxQuestion)
	if _, refused := exchange.ParseApprovalForm(longest.Form()); refused != nil {
		t.Error("the longest question:", refused)
	}
	if n := len(longest.Form().Encode()); n > exchange.MaxBodyBytes-8<<10 {
		t.Errorf("the longest question leaves no room for the tokens: %d bytes", n)
	}
}

// TestApprovalFormRefusals: what is asked about, and by whom, is never guessed.
func TestApprovalFormRefusals(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(url.Values){
		"no subject token":      func(f url.Values) { f.Del("subject_token") },
		"a refresh token":       func(f url.Values) { f.Set("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token") },
		"no tool":               func(f url.Values) { f.Del("tool") },
		"endless tool":          func(f url.Values) { f.Set("tool", strings.Repeat("a", 65)) },
		"endless account":       func(f url.Values) { f.Set("account", strings.Repeat("a", 161)) },
		"no digest":             func(f url.Values) { f.Del("digest") },
		"short digest":          func(f url.Values) { f.Set("digest", digest[2:]) },
		"long digest":           func(f url.Values) { f.Set("digest", digest+"00") },
		"digest in upper case":  func(f url.Values) { f.Set("digest", strings.ToUpper(digest)) },
		"digest in base64":      func(f url.Values) { f.Set("digest", strings.Repeat("-_", 32)) },
		"no question":           func(f url.Values) { f.Del("question") },
		"question of no words":  func(f url.Values) { f.Set("question", " \n\t") },
		"endless question":      func(f url.Values) { f.Set("question", strings.Repeat("a", exchange.MaxQuestion+1)) },
		"question that is none": func(f url.Values) { f.Set("question", "a\xff") },
		"two questions":         func(f url.Values) { f.Add("question", "Do you like cats?") },
		"an unknown one twice":  func(f url.Values) { f["x"] = []string{"1", "2"} },
	} {
		f := question().Form()
		change(f)
		if _, refused := exchange.ParseApprovalForm(f); refused == nil || refused.Code != oauth.InvalidRequest || strings.Contains(refused.Error(), "subject-token") {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

// TestGoldenApprovalAnswers: every answer as the server renders it, byte for byte, and
// as the client reads it.
func TestGoldenApprovalAnswers(t *testing.T) {
	t.Parallel()
	for body, answer := range map[string]exchange.Approval{
		`{"status":"approved"}`: {Status: exchange.Approved},
		`{"status":"declined"}`: {Status: exchange.Declined},
		`{"status":"pending","interaction_uri":"https://as/approve/x","expires_in":600}`: {Status: exchange.Pending, InteractionURI: "https://as/approve/x", ExpiresIn: 600},
	} {
		rendered := httptest.NewRecorder()
		answer.Write(rendered)
		if got := rendered.Body.String(); got != body+"\n" || rendered.Code != 200 || rendered.Header().Get("Cache-Control") != "no-store" || rendered.Header().Get("Content-Type") != "application/json" {
			t.Errorf("rendered as %d %v\n%s, not\n%s", rendered.Code, rendered.Header(), got, body)
		}
		c, _ := client(t, key(t), func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/internal/approvals" || r.FormValue("digest") != digest || r.FormValue("client_assertion") == "" {
				t.Error("asked by", r.URL, r.Form)
			}
			_, _ = w.Write([]byte(strings.TrimSuffix(body, "}") + `,"member_of_tomorrow":1}`))
		})
		if got, err := c.Approval(t.Context(), question()); err != nil || *got != answer {
			t.Errorf("%s is read as %+v: %v", body, got, err)
		}
	}
}

// TestApprovalDoubt: whatever is not the word "approved" of a 200 is none, and doubt is
// an outage.
func TestApprovalDoubt(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status int
		body   string
		want   oauth.Code
	}{
		"nothing":                 {200, ``, oauth.TemporarilyUnavailable},
		"no status":               {200, `{}`, oauth.TemporarilyUnavailable},
		"a status of tomorrow":    {200, `{"status":"Approved"}`, oauth.TemporarilyUnavailable},
		"pending without a link":  {200, `{"status":"pending","expires_in":600}`, oauth.TemporarilyUnavailable},
		"pending for no time":     {200, `{"status":"pending","interaction_uri":"https://as/x"}`, oauth.TemporarilyUnavailable},
		"approved, but not OK":    {202, `{"status":"approved"}`, oauth.TemporarilyUnavailable},
		"approved with an outage": {503, `{"status":"approved"}`, oauth.TemporarilyUnavailable},
		"revoked grant":           {400, `{"error":"invalid_grant"}`, oauth.InvalidGrant},
		"too many":                {429, `{"error":"slow_down"}`, oauth.SlowDown},
	} {
		c, _ := client(t, key(t), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(row.status)
			_, _ = w.Write([]byte(row.body))
		})
		got, err := c.Approval(t.Context(), question())
		var e *exchange.Error
		if got != nil || !errors.As(err, &e) || e.Code != row.want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}
