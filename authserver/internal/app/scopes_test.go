package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

const googleScope = "https://www.googleapis.com/auth/"

// dataScopes are the Google scopes of an exchange's answer that open data, short.
func dataScopes(t *testing.T, got *exchange.Response) string {
	t.Helper()
	all, err := oauth.ParseScopes(got.Scope)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(all.Minus(scope.IdentityOf(all)).String(), googleScope, "")
}

func signInFor(t *testing.T, s *authtest.Server, scopes string) map[string]any {
	t.Helper()
	v := s.NewVisit(t)
	v.Query.Set("scope", scopes)
	return s.SignIn(t, v)
}

// TestBroadScopeServesNarrowOne: Google is asked for the one scope that covers the others (GOOGLE 3.3), each of them works with
// it, and none of that reaches another app of the same person (DESIGN §1.1).
func TestBroadScopeServesNarrowOne(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	x := s.Exchanger(t, s.Internal)
	out := signInFor(t, s, "gmail.organize gmail.read gmail.send")
	if out["scope"] != "gmail.organize gmail.read gmail.send" {
		t.Fatalf("granted: %v", out["scope"])
	}
	for _, need := range []string{"gmail.readonly", "gmail.send", "gmail.modify"} {
		got, err := x.Exchange(t.Context(), request(out, googleScope+need))
		if err != nil {
			t.Fatalf("%s: %v", need, err)
		}
		if scopes := dataScopes(t, got); scopes != "gmail.modify" {
			t.Errorf("%s: Google was asked for %q", need, scopes)
		}
	}
	// Implied: no gmail.read in the token, and mail can be read.
	organizer := signInFor(t, s, "gmail.organize")
	if _, err := x.Exchange(t.Context(), request(organizer, gmailRead)); err != nil {
		t.Errorf("organizing does not read: %v", err)
	}
	for name, c := range map[string]struct{ scopes, need string }{
		"organizing does not send":   {"gmail.organize", "gmail.send"},
		"drafts are not sent":        {"gmail.draft", "gmail.send"},
		"reading does not change":    {"gmail.read", "gmail.modify"},
		"own files are not all":      {"drive.files", "documents"},
		"calendar.read is no writer": {"calendar.read", "calendar.events"},
	} {
		_, err := x.Exchange(t.Context(), request(signInFor(t, s, c.scopes), googleScope+c.need))
		if e := failure(t, err); e.Code != oauth.InsufficientScope || e.Scope == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// The person has granted gmail.modify. An app that may read only gets a token that only reads.
	reader := signInFor(t, s, "gmail.read")
	got, err := x.Exchange(t.Context(), request(reader, gmailRead))
	if err != nil {
		t.Fatal(err)
	}
	if scopes := dataScopes(t, got); scopes != "gmail.readonly" {
		t.Errorf("an app that may read was handed %q", scopes)
	}
	for path, want := range map[string]int{"threads/t1/modify": http.StatusForbidden, "messages/send": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Google.URL+"/gmail/v1/users/me/"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+got.AccessToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s with a token that only reads: %d", path, resp.StatusCode)
		}
	}
}

// TestConsentProfile: a person is asked for nothing beyond the tenant's profile, by default or by name, and what is advertised is within it.
func TestConsentProfile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile                       scope.Profile
		asked, granted, none, nothing string
	}{
		{scope.Lite, "gmail.read gmail.send drive.files docs.write", "drive.files gmail.send", "accounts calendar.read", "gmail.read"},
		{scope.Standard, "gmail.read gmail.organize drive.write docs.read", "docs.read gmail.read", "accounts calendar.read drive.read gmail.read", "chat.read"},
		{scope.Full, "gmail.organize chat.read meet.read", "chat.read gmail.organize meet.read", "accounts calendar.read drive.read gmail.read", "unknown"},
	} {
		t.Run(string(c.profile), func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t, func(settings *config.Server) { settings.Profile = c.profile })
			for asked, want := range map[string]string{c.asked: c.granted, "": c.none, c.nothing: c.none} {
				if out := signInFor(t, s, asked); out["scope"] != want {
					t.Errorf("asked %q: granted %v", asked, out["scope"])
				}
			}
			m := decodeBody(t, get(t, s.URL+"/.well-known/oauth-authorization-server"))
			if want := append(strings.Fields(c.none), "offline_access"); !slices.Equal(texts(m["scopes_supported"]), want) {
				t.Errorf("advertised: %v", m["scopes_supported"])
			}
		})
	}
}
