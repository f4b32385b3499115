package app_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

const (
	alice = "alice@example.com"
	bob   = "bob@example.com"
	carol = "carol@outsider.test"
)

// person is somebody at a browser with the account page.
type person struct {
	t *testing.T
	s *authtest.Server
	b *browser.Browser
	// asked are the queries of the visits at Google.
	asked []url.Values
}

func newPerson(t *testing.T, s *authtest.Server) *person {
	p := &person{t: t, s: s, b: authtest.Browser()}
	p.b.Visited = func(_ string, u *url.URL, _ int) {
		if u.Path == "/o/oauth2/v2/auth" {
			p.asked = append(p.asked, u.Query())
		}
	}
	return p
}

// signedIn is a person at their account page.
func signedIn(t *testing.T, s *authtest.Server, email string) *person {
	t.Helper()
	p := newPerson(t, s)
	if page := p.google(p.press(p.account(), "sign-in", ""), fakegoogle.Choice{Account: email}); page.Status != http.StatusOK || page.URL.Path != "/account" {
		t.Fatalf("%s is not signed in: %d at %s %s", email, page.Status, page.URL.Path, words(page))
	}
	return p
}

func (p *person) get(u string) *browser.Page {
	p.t.Helper()
	return follow(p.t, p.b, u)
}

func (p *person) account() *browser.Page {
	p.t.Helper()
	return p.get(p.s.URL + "/account")
}

// allow lets an app have what the visit asks for and returns the token response.
func (p *person) allow(v *authtest.Visit) map[string]any {
	p.t.Helper()
	q, page := p.s.WalkWith(p.t, p.b, v)
	if q.Get("code") == "" {
		p.t.Fatalf("no code: %v %s", q, words(page))
	}
	status, out := p.s.Token(p.t, v.Redeem(q.Get("code")))
	if status != http.StatusOK {
		p.t.Fatal(status, out)
	}
	return out
}

// words is what a page says, for a message.
func words(page *browser.Page) string {
	_, rest, _ := strings.Cut(string(page.Body), "<main")
	return strings.Join(strings.Fields(rest[:min(len(rest), 900)]), " ")
}

// google plays the stand-in's pages from there on.
func (p *person) google(page *browser.Page, c fakegoogle.Choice) *browser.Page {
	p.t.Helper()
	out, err := fakegoogle.Proceed(p.t.Context(), p.b, page, c)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// find is a page's form with a button, and with a value among its fields.
func find(t *testing.T, page *browser.Page, do, value string) (*browser.Form, browser.Button) {
	t.Helper()
	for _, f := range page.Forms {
		for _, b := range f.Buttons {
			if b.Name != "do" || b.Value != do {
				continue
			}
			has := value == ""
			for _, v := range f.Values {
				has = has || v[0] == value
			}
			if has {
				return f, b
			}
		}
	}
	t.Fatalf("no form %q with %q at %s: %d %s", do, value, page.URL.Path, page.Status, words(page))
	return nil, browser.Button{}
}

// press submits a form of a page; change is name, value, …
func (p *person) press(page *browser.Page, do, value string, change ...string) *browser.Page {
	p.t.Helper()
	f, button := find(p.t, page, do, value)
	for i := 0; i+1 < len(change); i += 2 {
		f.Values.Set(change[i], change[i+1])
	}
	out, err := p.b.Submit(p.t.Context(), page, f, button)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

var handlePattern = regexp.MustCompile(`aria-label="Google account ([^"]*)"|name="account" value="(acc_[0-9a-f-]+)"`)

// handles are the linked accounts of a page, by alias.
func handles(page *browser.Page) map[string]string {
	out := map[string]string{}
	var alias string
	for _, m := range handlePattern.FindAllStringSubmatch(string(page.Body), -1) {
		if m[1] != "" {
			alias = m[1]
		} else if alias != "" && out[alias] == "" {
			out[alias] = m[2]
		}
	}
	return out
}

// add adds a further Google account.
func (p *person) add(email string) *browser.Page {
	p.t.Helper()
	page := p.google(p.press(p.account(), "add", ""), fakegoogle.Choice{Account: email})
	if page.Status != http.StatusOK || !strings.Contains(string(page.Body), "Google is connected") {
		p.t.Fatalf("%s is not added: %d %s", email, page.Status, words(page))
	}
	return page
}

func says(t *testing.T, page *browser.Page, status int, want ...string) {
	t.Helper()
	if page.Status != status {
		t.Errorf("%s: status %d, want %d: %s", page.URL.Path, page.Status, status, words(page))
	}
	for _, w := range want {
		if !strings.Contains(string(page.Body), w) {
			t.Errorf("%s does not say %q: %s", page.URL.Path, w, words(page))
		}
	}
}

// moveTime runs a statement as the jobs role, for rows whose times the runtime
// role may not change.
func moveTime(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range []string{`SET ROLE latchkey_jobs`, sql} {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
}

// snapshot is every row that a person's page may change.
func snapshot(t *testing.T, dsn string) string {
	t.Helper()
	return snapshotOf(t, dsn, "subjects", "connections", "credentials", "grants", "consents", "google_revocations")
}

// snapshotOf is every row of tables at the default tenant.
func snapshotOf(t *testing.T, dsn string, tables ...string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var out strings.Builder
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`} {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tables {
		var rows string
		if err := conn.QueryRow(context.Background(), `SELECT coalesce(string_agg(to_jsonb(x)::text, E'\n' ORDER BY to_jsonb(x)::text), '') FROM `+table+` x`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		out.WriteString(table + "\n" + rows + "\n")
	}
	return out.String()
}
