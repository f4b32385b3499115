package consent_test

import (
	"strings"
	"testing"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// TestNames: MCP security best practices, consent UI: what an app calls itself is shown as it reads and where it stands: nothing in it turns
// text around, hides, covers other lines or is blank, and one that mixes alphabets is called an imitation (Unicode TS #39 §5).
func TestNames(t *testing.T) {
	t.Parallel()
	issuer, err := oauth.ParseIssuerURL("https://auth.example.com")
	if err != nil {
		t.Fatal(err)
	}
	resource, err := oauth.ParseResource("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	const none = "An app without a name"
	tower := strings.Repeat("\u0301", 40)
	for name, want := range map[string]struct {
		shown    string
		imitates bool
	}{
		"Example Assistant":           {"Example Assistant", false},
		"Google \u202eelgoog\u2066":   {"Google elgoog", false},
		"two\nlines\tand  spaces ":    {"two lines and spaces", false},
		"zero\u200bwidth\u00ad":       {"zerowidth", false},
		"":                            {none, false},
		" \u200b\u2060 ":              {none, false},
		"\u3164\u115f\uffa0":          {none, false}, // Hangul fillers are letters that show nothing
		"\u2800\u2800":                {none, false}, // as is a Braille cell without dots
		tower:                         {none, false},
		"Z" + tower + "a":             {"Z" + tower[:8] + "a", false},
		"Tiếng Việt":                  {"Tiếng Việt", false}, // decomposed, two marks on a letter
		"שָׁלוֹם":                     {"שָׁלוֹם", false},
		"G\u043e\u043egle Drive":      {"G\u043e\u043egle Drive", true}, // Cyrillic
		"\u0391pple":                  {"\u0391pple", true},             // Greek
		"Яндекс Mail":                 {"Яндекс Mail", false},           // each word has one alphabet
		"メール Assistant2":              {"メール Assistant2", false},
		strings.Repeat("W", 200):      {strings.Repeat("W", 80) + "…", false},
		"<b>bold</b> &amp; \"quote\"": {"<b>bold</b> &amp; \"quote\"", false}, // the template escapes
	} {
		v := consent.NewView(consent.Request{
			Client: &client.Client{ID: "c", Name: name}, Tenant: &tenant.Tenant{Issuer: issuer, Lifetimes: tenant.DefaultLifetimes()},
			RedirectURI: "https://app.example/cb", Resource: resource, Scopes: oauth.NewScopes("gmail.read"),
		})
		if v.ClientName != want.shown || v.Imitates != want.imitates {
			t.Errorf("%+q: %+q, imitates %v", name, v.ClientName, v.Imitates)
		}
	}
}
