package signedlink_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/bearertest"
	"latchkey/resourceserver/internal/linktest"
	"latchkey/resourceserver/internal/signedlink"
)

type target struct {
	ID string `json:"i"`
}

// fixture is a door with its links.
type fixture struct {
	*linktest.Server
	links *signedlink.Links[target]
	door  *signedlink.Door[target]
}

func newFixture(t *testing.T, perPerson int) *fixture {
	t.Helper()
	f := &fixture{Server: linktest.New(t, "x_fetch")}
	f.links = f.made(t, "thing link")
	var err error
	f.door, err = signedlink.NewDoor(f.links, f.Rules(), "thing", perPerson, func(tool string) bool { return tool == "x_fetch" })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// made are links of a purpose.
func (f *fixture) made(t *testing.T, purpose string) *signedlink.Links[target] {
	t.Helper()
	links, err := signedlink.New[target](f.Keys, purpose, "/thing", f.Now)
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// link is one of a person's.
func (f *fixture) link(t *testing.T, tenant, subject string, c bearertest.Token) string {
	t.Helper()
	link, _, err := f.links.Make(f.Call(t, tenant, subject, c), "account-1", target{"file-1"})
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// request opens a link at the host of a tenant.
func request(t *testing.T, tenant, link string) *http.Request {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/thing?"+u.RawQuery, http.NoBody)
	r.Host = linktest.Host(tenant)
	return r
}

// with is a link with another value.
func with(link string, change func(value string) string) string {
	before, value, _ := strings.Cut(link, "link=")
	return before + "link=" + url.QueryEscape(change(value))
}

// TestLink: it leads to the origin of its resource, ends with its token or after its
// own life, and shows nothing of what it holds; without a call there is none.
func TestLink(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	for what, c := range map[string]struct{ token, want time.Duration }{
		"a long token":  {time.Hour, signedlink.Lifetime},
		"a short token": {5 * time.Minute, 5 * time.Minute},
	} {
		ctx := f.Call(t, "acme", "alice", bearertest.Token{Life: c.token})
		link, until, err := f.links.Make(ctx, "account-1", target{"file-1"})
		if err != nil || !until.Equal(f.Now().Add(c.want)) || !strings.HasPrefix(link, "https://"+linktest.Host("acme")+"/thing?link=") {
			t.Errorf("%s: %s %v %v", what, link, until, err)
		}
		_, value, _ := strings.Cut(link, "link=")
		raw, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			t.Error(err)
		}
		for _, held := range []string{bearer.From(ctx).Token.Reveal(), "alice", "acme", "account-1", "file-1", "x_fetch"} {
			if strings.Contains(value, held) || strings.Contains(string(raw), held) {
				t.Errorf("%s: %s shows", what, held)
			}
		}
		again, _, err := f.links.Make(ctx, "account-1", target{"file-1"})
		if err != nil || again == link {
			t.Errorf("%s: two links are one, %v", what, err)
		}
	}
	if link, _, err := f.links.Make(t.Context(), "account-1", target{"file-1"}); err == nil {
		t.Errorf("outside a call: %s", link)
	}
	if _, err := signedlink.New[target](nil, "p", "/thing", nil); err == nil {
		t.Error("links without keys")
	}
	if _, err := signedlink.New[target](f.Keys, "p", "", nil); err == nil {
		t.Error("links that lead nowhere")
	}
}

// TestOpened: a link is its maker's, whoever opens it: the principal, the account and
// the target are those of the call. It is used as often as it is opened: what may
// happen once is the business of whoever serves it.
func TestOpened(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	link := f.link(t, "globex", "alice", bearertest.Token{Grant: "grant-7"})
	used := 0
	for range 2 {
		if v, refusal := f.door.Look(request(t, "globex", link)); refusal != nil || v.Target.ID != "file-1" || v.Account != "account-1" || v.Tool != f.Tool {
			t.Errorf("looked at: %+v %v", v, refusal)
		}
		refusal := f.door.Use(request(t, "globex", link), time.Minute, func(ctx context.Context, v signedlink.Visit[target]) error {
			used++
			if p := bearer.From(ctx); p.Subject != "alice" || p.Tenant != "globex" || p.Grant != "grant-7" || v.Target.ID != "file-1" || v.Account != "account-1" {
				t.Errorf("%s of %s, %+v", p.Subject, p.Tenant, v)
			}
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > time.Minute {
				t.Error("it may take as long as it likes")
			}
			return nil
		})
		if refusal != nil {
			t.Errorf("%+v", refusal)
		}
	}
	if got := f.Outcomes(); used != 2 || strings.Join(got, " ") != "ok ok" {
		t.Errorf("used %d times, reported %v", used, got)
	}
}

// TestLeadsNowhere: whatever is wrong with a link, nobody learns what, nothing is
// done, and nobody is told of a use.
func TestLeadsNowhere(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change  func(t *testing.T, f *fixture, link string) string
		at      string // tenant
		changes []linktest.Change
	}{
		"no link": {change: func(*testing.T, *fixture, string) string { return "/thing" }},
		"empty": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(string) string { return "" })
		}},
		"made up": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(string) string { return rand.Text() })
		}},
		"very long": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return strings.Repeat(v, 100) })
		}},
		"cut": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return v[:len(v)-1] })
		}},
		"longer": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return v + "A" })
		}},
		"first byte": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return flip(v, 0) })
		}},
		"middle": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return flip(v, len(v)/2) })
		}},
		"its tag": {change: func(_ *testing.T, _ *fixture, link string) string {
			return with(link, func(v string) string { return flip(v, len(v)-3) })
		}},
		"a token": {change: func(t *testing.T, f *fixture, link string) string {
			return with(link, func(string) string { return bearer.From(f.Call(t, "acme", "alice", bearertest.Token{})).Token.Reveal() })
		}},
		"in the path": {change: func(_ *testing.T, _ *fixture, link string) string {
			return "/thing?other=" + link[strings.Index(link, "link=")+5:]
		}},
		"another purpose": {change: func(t *testing.T, f *fixture, _ string) string {
			link, _, err := f.made(t, "other link").Make(f.Call(t, "acme", "alice", bearertest.Token{}), "account-1", target{"file-1"})
			if err != nil {
				t.Fatal(err)
			}
			return link
		}},
		"another server": {change: func(t *testing.T, _ *fixture, _ string) string {
			return newFixture(t, 1).link(t, "acme", "alice", bearertest.Token{})
		}},
		"another tenant's host": {at: "globex"},
		"its life is over":      {changes: []linktest.Change{linktest.Later(signedlink.Lifetime)}},
		"its token has ended": {change: func(t *testing.T, f *fixture, _ string) string {
			link := f.link(t, "acme", "alice", bearertest.Token{Life: time.Minute})
			f.Set(linktest.Later(time.Minute))
			return link
		}},
		"its grant is revoked":   {changes: []linktest.Change{linktest.Revoked("g")}},
		"its tool is not served": {changes: []linktest.Change{linktest.Withdrawn}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 1)
			link := f.link(t, "acme", "alice", bearertest.Token{Life: time.Hour})
			good := link
			if c.change != nil {
				link = c.change(t, f, link)
			}
			if c.at == "" {
				c.at = "acme"
			}
			f.Set(c.changes...)
			refused := f.door.Use(request(t, c.at, link), time.Minute, func(context.Context, signedlink.Visit[target]) error {
				t.Error("it was let in")
				return nil
			})
			_, looked := f.door.Look(request(t, c.at, link))
			gone := signedlink.Refusal{Status: http.StatusGone, Text: "This thing link has ended. Ask the assistant for a new one."}
			if refused == nil || looked == nil || *refused != gone || *looked != gone || len(f.Outcomes()) != 0 {
				t.Errorf("%+v %+v, reported %v", refused, looked, f.Outcomes())
			}
			if len(c.changes) == 0 && what != "its token has ended" { // the others are no worse for it
				if _, no := f.door.Look(request(t, "acme", good)); no != nil {
					t.Errorf("the good one: %+v", no)
				}
			}
		})
	}
}

// flip changes a character.
func flip(s string, i int) string {
	other := "A"
	if s[i] == 'A' {
		other = "B"
	}
	return s[:i] + other + s[i+1:]
}
