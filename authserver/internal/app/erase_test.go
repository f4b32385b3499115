package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/app"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/tenancy"
	"latchkey/deploy/dev/browser"
	"latchkey/deploy/dev/fakegoogle"
)

// leaving is somebody who uses everything there is, and the words that must not be left of them.
type leaving struct {
	*person
	visit    *authtest.Visit
	out      map[string]any
	google   string // an access token of Google
	subject  string
	canaries map[string]string
}

func newLeaving(t *testing.T, s *authtest.Server) *leaving {
	t.Helper()
	p := &leaving{person: newPerson(t, s), visit: s.NewVisit(t)}
	p.out = p.allow(p.visit)
	p.add(bob)
	p.press(p.account(), "rename", handles(p.account())["example.com"], "alias", "canary-alias-of-alice")
	p.google = works(t, s, p.out).AccessToken
	p.subject = claimsOf(t, p.out["access_token"].(string)).Subject
	execSQL(t, s.DSN, `INSERT INTO links (tenant_id, secret_hash, subject_id, client_id, reason, google_scopes, expires_at)
		VALUES ('00000000-0000-7000-8000-000000000001', sha256('x'), '`+p.subject+`', 'c', 'not_linked', '{}', now() + interval '10 minutes')`)
	p.canaries = map[string]string{
		"address": alice, "second address": bob, "alias": "canary-alias-of-alice", "access token": p.out["access_token"].(string)[strings.LastIndex(p.out["access_token"].(string), ".")+1:], "refresh token": p.out["refresh_token"].(string),
		"Google access token": p.google, "code verifier": p.visit.Verifier, "Google sub": textOf(t, s.DSN, `SELECT google_sub FROM subjects WHERE id = '`+p.subject+`'`),
		"second Google sub": textOf(t, s.DSN, `SELECT google_sub FROM connections WHERE NOT is_default AND subject_id = '`+p.subject+`'`),
	}
	for _, token := range s.Google.RefreshTokens() {
		p.canaries["Google refresh token "+token[len(token)-4:]] = token
	}
	return p
}

// left names the canaries that are in any column of any table, in clear, hex or base64.
func (p *leaving) left() []string {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.s.DSN)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	return holds(everything(p.t, conn), p.canaries)
}

// erase goes the person's way and returns the page at its end.
func (p *leaving) erase() *browser.Page {
	p.t.Helper()
	return p.press(p.get(p.s.URL+"/account/erase"), "erase", "", "word", " Erase ")
}

// receipt fetches the receipt that a page links to and verifies it.
func (p *leaving) receipt(page *browser.Page) erasure.Receipt {
	p.t.Helper()
	resp := get(p.t, p.s.URL+page.URL.Path+"/receipt")
	defer func() { _ = resp.Body.Close() }()
	var signed bytes.Buffer
	if _, err := signed.ReadFrom(resp.Body); err != nil {
		p.t.Fatal(err)
	}
	attached(p.t, resp, "application/erasure-receipt+jwt")
	keys := ask(p.t, http.MethodGet, p.s.URL+"/jwks", "")
	r, err := erasure.Verify(signed.String(), []byte(keys.Body))
	if err != nil || r.Subject != p.subject || r.Kind != erasure.KindSubject {
		p.t.Fatalf("%+v %v in %d %s", r, err, resp.StatusCode, signed.String())
	}
	return r
}

// attached: a file that no browser shows, keeps or guesses about.
func attached(t *testing.T, resp *http.Response, contentType string) {
	t.Helper()
	if h := resp.Header; resp.StatusCode != http.StatusOK || h.Get("Content-Type") != contentType || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename=") ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
}

// cutOff: nothing works any more for the person.
func (p *leaving) cutOff() {
	p.t.Helper()
	if _, err := p.s.Exchanger(p.t, p.s.Internal).Exchange(p.t.Context(), request(p.out, gmailRead)); err == nil {
		p.t.Error("an exchange for the erased")
	}
	if status, _ := p.s.Token(p.t, p.visit.Refresh(p.out["refresh_token"].(string))); status != http.StatusBadRequest {
		p.t.Errorf("refresh: %d", status)
	}
	says(p.t, p.account(), http.StatusOK, "Sign in with Google")
	revoked, err := p.s.Exchanger(p.t, p.s.Internal).Revocations(p.t.Context(), time.Now().Add(-time.Minute))
	if err != nil || len(revoked.Grants) == 0 {
		p.t.Errorf("resource servers do not hear of it: %+v %v", revoked, err)
	}
}

// TestEraseMe: issue 4 part 7: a person who has typed the word is gone: at Google, in every column of every table, for every app;
// the receipt verifies; others lose nothing; who comes back is somebody new.
func TestEraseMe(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	other := s.NewVisit(t)
	other.Choice.Account = carol
	stays := newPerson(t, s).allow(other)
	p := newLeaving(t, s)
	if found := p.left(); len(found) < 2 { // the alias and the ids at Google stand in clear
		t.Fatalf("the search finds nothing: %v", found)
	}
	page := p.erase()
	says(t, page, http.StatusOK, "Your account is erased", "withdrawn", "Download the signed receipt")
	if found := p.left(); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
	if googleKnows(t, s, p.google) {
		t.Error("the access at Google is not withdrawn")
	}
	if r := p.receipt(page); r.Google != erasure.GoogleDone || len(r.Keys) != 1 || r.Backups == "" {
		t.Errorf("%+v", r)
	}
	for _, kind := range []audit.Kind{audit.SubjectErasing, audit.SubjectErased} { // on the person's word, not the operator's
		got, err := s.DB(t).SearchAudit(t.Context(), s.Tenant, audit.Query{Kind: kind, Limit: 9})
		if err != nil || len(got) != 1 || got[0].Actor != audit.Person || got[0].Subject.String() != p.subject || got[0].RequestID == "" {
			t.Errorf("%s: %+v %v", kind, got, err)
		}
	}
	p.cutOff()
	works(t, s, stays)
	again := newPerson(t, s)
	back := again.allow(s.NewVisit(t))
	if sub := claimsOf(t, back["access_token"].(string)).Subject; sub == p.subject {
		t.Error("the erased are known again")
	}
	works(t, s, back)
	if log := s.Logs.String(); len(holds([]byte(log), p.canaries)) != 0 {
		t.Errorf("the log holds %v", holds([]byte(log), p.canaries))
	}
	if code := page.URL.Path[len("/account/erasure/"):]; strings.Contains(s.Logs.String(), code) {
		t.Error("the log holds the code of the receipt")
	}
	says(t, p.get(s.URL+"/account/erasure/"+strings.Repeat("A", 43)), http.StatusNotFound, "no receipt")
}

// TestEraseMeWhileGoogleIsDown: everything but the tokens that Google has to take back is gone at once, and the page says which
// is the truth; when Google answers, the worker finishes; when it does not for seven days, the tokens are destroyed all the same.
func TestEraseMeWhileGoogleIsDown(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault fakegoogle.Fault
		ends  func(t *testing.T, s *authtest.Server)
		want  erasure.Google
	}{
		"503, then it answers": {fakegoogle.Fault{Prefix: "/revoke", Status: 503}, func(_ *testing.T, s *authtest.Server) { s.Google.Clear() }, erasure.GoogleDone},
		"reset for seven days": {fakegoogle.Fault{Prefix: "/revoke", Reset: true}, func(t *testing.T, s *authtest.Server) {
			execSQL(t, s.DSN, `UPDATE subjects SET erasing_at = now() - interval '7 days' WHERE erasing_at IS NOT NULL`)
		}, erasure.GoogleUnconfirmed},
		"too slow, then it answers": {fakegoogle.Fault{Prefix: "/revoke", Delay: 9 * time.Second, Status: 503}, func(_ *testing.T, s *authtest.Server) { s.Google.Clear() }, erasure.GoogleDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t)
			p := newLeaving(t, s)
			s.Google.Inject(row.fault)
			page := p.erase()
			says(t, page, http.StatusOK, "is being erased", "Google has not confirmed", "at the latest they are destroyed")
			if strings.Contains(string(page.Body), "receipt\"") {
				t.Error("a receipt before the end")
			}
			p.cutOff()
			for _, what := range p.left() {
				if !strings.HasPrefix(what, "Google sub") && !strings.HasPrefix(what, "second Google sub") { // another person may use the account
					t.Errorf("left: %s", what)
				}
			}
			if n := rowsOf(t, s.DSN, waiting); n != 2 {
				t.Errorf("%d tokens wait", n)
			}
			s.GoOnErasing(t) // it is not its turn
			if rowsOf(t, s.DSN, `SELECT count(*) FROM subjects WHERE erasure_receipt IS NOT NULL`) != 0 {
				t.Error("finished without Google")
			}
			row.ends(t, s)
			execSQL(t, s.DSN, `UPDATE subjects SET erasure_next_at = now() WHERE erasing_at IS NOT NULL`)
			s.GoOnErasing(t)
			if found := p.left(); len(found) != 0 {
				t.Errorf("left: %v", found)
			}
			if googleKnows(t, s, p.google) == (row.want == erasure.GoogleDone) {
				t.Error("Google has not heard of it, or the test is wrong about it")
			}
			page = p.get(s.URL + page.URL.Path)
			says(t, page, http.StatusOK, "Your account is erased", map[erasure.Google]string{erasure.GoogleDone: "was withdrawn", erasure.GoogleUnconfirmed: "did not confirm"}[row.want])
			if r := p.receipt(page); r.Google != row.want || len(r.Keys) != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestEraseMeGoesOn: an erasure that was cut off after its first step is finished by the worker, and by the operator's command.
func TestEraseMeGoesOn(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"worker", "command"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t)
			p := newLeaving(t, s)
			if err := s.DB(t).BeginErasure(t.Context(), s.Tenant, subjectID(t, p.subject), [32]byte{}); err != nil {
				t.Fatal(err)
			}
			p.cutOff()
			if by == "worker" {
				execSQL(t, s.DSN, `UPDATE subjects SET erasure_next_at = now() WHERE erasing_at IS NOT NULL`)
				s.GoOnErasing(t)
			} else {
				for range 2 { // the second time it prints what there is
					if out, errOut, code := subjects(t, s, "erase", "--subject", p.subject, "--confirm", p.subject); code != 0 || !strings.Contains(out, "is erased") {
						t.Fatalf("%d %s %s", code, out, errOut)
					}
				}
			}
			if found := p.left(); len(found) != 0 || googleKnows(t, s, p.google) {
				t.Errorf("left: %v", found)
			}
		})
	}
}

// TestEraseMeRefuses: nothing is erased without the word, the session and the page's own token, nor from another site.
func TestEraseMeRefuses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := signedIn(t, s, alice)
	page := p.get(s.URL + "/account/erase")
	says(t, page, http.StatusOK, "type the word", "Nothing in your Google accounts is deleted")
	before := snapshot(t, s.DSN)
	for _, word := range []string{"", "yes", "erase me", "eras"} {
		says(t, p.press(page, "erase", "", "word", word), http.StatusBadRequest, "Nothing was erased")
	}
	for _, path := range []string{"/account/erase", "/account/export"} {
		says(t, signedIn(t, s, carol).pressAt(page, path, "erase"), http.StatusForbidden, "belongs to another session")
		says(t, newPerson(t, s).pressAt(page, path, "erase"), http.StatusForbidden, "not signed in")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(url.Values{"word": {"erase"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s from another site: %d", path, resp.StatusCode)
		}
	}
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM subjects WHERE erasing_at IS NOT NULL`); n != 0 || snapshot(t, s.DSN) == "" || before == "" {
		t.Error("somebody is being erased")
	}
	says(t, newPerson(t, s).get(s.URL+"/account/erase"), http.StatusOK, "Sign in with Google")
}

// pressAt submits a page's form at another path.
func (p *person) pressAt(page *browser.Page, path, word string) *browser.Page {
	p.t.Helper()
	form, button := find(p.t, page, "erase", "")
	f := *form
	action, err := url.Parse(p.s.URL + path)
	if err != nil {
		p.t.Fatal(err)
	}
	f.Action = action
	f.Values = url.Values{"token": form.Values["token"], "word": {word}}
	out, err := p.b.Submit(p.t.Context(), page, &f, button)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// TestExportMe: everything stored of the person and of nobody else, addresses readable, and nothing that opens anything; the
// operator's command gives the same.
func TestExportMe(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	other := s.NewVisit(t)
	other.Choice.Account = carol
	newPerson(t, s).allow(other)
	p := newLeaving(t, s)
	s.Google.Inject(fakegoogle.Fault{Prefix: "/revoke", Status: 503})
	p.press(p.account(), "disconnect", handles(p.account())["example.com-2"]) // so that something waits
	sub := p.canaries["Google sub"]
	page := p.press(p.account(), "export", "")
	attached(t, &http.Response{StatusCode: page.Status, Header: page.Header}, "application/json")
	out, errOut, code := subjects(t, s, "export", "--google-sub", sub)
	if code != 0 {
		t.Fatal(errOut)
	}
	for by, doc := range map[string][]byte{"page": page.Body, "command": []byte(out)} {
		var got struct {
			Subject string
			Stored  map[string][]map[string]any
		}
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatalf("%s: %v in %s", by, err, doc)
		}
		rows := map[string]int{}
		for table, list := range got.Stored {
			rows[table] = len(list)
		}
		if got.Subject != p.subject || rows["subjects"] != 1 || rows["connections"] != 2 || rows["credentials"] != 2 || rows["grants"] != 1 || rows["consents"] != 1 ||
			rows["sessions"] == 0 || rows["links"] != 1 || rows["google_revocations"] != 1 || rows["subject_secrets"] != 1 {
			t.Errorf("%s: %s %v", by, got.Subject, rows)
		}
		for _, want := range []string{alice, bob, "canary-alias-of-alice", sub, "Test app", "https://www.googleapis.com/auth/gmail.readonly"} {
			if !bytes.Contains(doc, []byte(want)) {
				t.Errorf("%s: no %s", by, want)
			}
		}
		opens := map[string]string{}
		for name, value := range p.canaries {
			if strings.Contains(name, "token") || strings.Contains(name, "verifier") {
				opens[name] = value
			}
		}
		if found := holds(doc, opens); len(found) != 0 || bytes.Contains(doc, []byte(carol)) || bytes.Contains(doc, []byte(`\\x`)) {
			t.Errorf("%s: the document holds %v, another's address, or bytes", by, found)
		}
	}
	if strings.Contains(s.Logs.String(), alice) {
		t.Error("the address is in the log")
	}
}

// TestSubjectCommands: the operator names one person, confirms with the id, and gets the receipt.
func TestSubjectCommands(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	p := newLeaving(t, s)
	for want, args := range map[string][]string{
		"confirm it with":      {"erase", "--subject", p.subject},
		"confirm it":           {"erase", "--google-sub", p.canaries["Google sub"], "--confirm", p.canaries["Google sub"]},
		"no such person":       {"erase", "--google-sub", alice, "--confirm", alice},
		"there is no such":     {"export", "--subject", "00000000-0000-7000-8000-000000000009"},
		"no id of a person":    {"export", "--subject", alice},
		"no such tenant":       {"export", "--subject", p.subject, "--tenant", "acme"},
		"can't be used togeth": {"export", "--subject", p.subject, "--google-sub", "x"},
		"missing":              {"export"},
	} {
		if out, errOut, code := subjects(t, s, args...); code != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%v: %d %s %s", args, code, out, errOut)
		}
	}
	works(t, s, p.out)
	out, errOut, code := subjects(t, s, "erase", "--google-sub", p.canaries["Google sub"], "--confirm", p.subject, "--json")
	var got struct {
		Subject, Google, Receipt string
	}
	if code != 0 || json.Unmarshal([]byte(out), &got) != nil || got.Subject != p.subject || got.Google != "done" {
		t.Fatalf("%d %s %s", code, out, errOut)
	}
	if r, err := erasure.Verify(got.Receipt, []byte(ask(t, http.MethodGet, s.URL+"/jwks", "").Body)); err != nil || r.Subject != p.subject {
		t.Errorf("%+v %v", r, err)
	}
	if found := p.left(); len(found) != 0 || googleKnows(t, s, p.google) {
		t.Errorf("left: %v", found)
	}
	p.cutOff()
}

// TestEraseWholeTenant: issue 5 part 1: a suspended tenant with people, keys and a Google client of its own leaves nothing readable
// and a receipt; interrupted after the shredding it goes on.
func TestEraseWholeTenant(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	stays := s.SignIn(t, s.NewVisit(t))
	acme := s.AddTenant(t, "acme", authtest.TenantOptions{Google: fakegoogle.Client{ID: "acme-google", Secret: "canary-google-client-secret"}})
	out := acme.SignIn(t, acme.NewVisit(t))
	p := &leaving{person: newPerson(t, s), canaries: map[string]string{
		"address": alice + "!", "client secret": "canary-google-client-secret", "access token": out["access_token"].(string)[strings.LastIndex(out["access_token"].(string), ".")+1:], "tenant": acme.Tenant.String(), "Google client": "acme-google",
	}}
	if found := p.left(); len(found) < 2 {
		t.Fatalf("the search finds nothing: %v", found)
	}
	if _, err := s.Operator(t).Suspend(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	db := s.DB(t)
	if _, err := db.ShredTenant(t.Context(), acme.Tenant); err != nil { // and then the command was cut off
		t.Fatal(err)
	}
	jwks := []byte(ask(t, http.MethodGet, s.URL+"/jwks", "").Body)
	text, errOut, code := tenants(t, s, "erase", "acme", "--confirm", "acme", "--json", "--kek-file", s.KEKFile)
	var gone tenancy.Erased
	if code != 0 || json.Unmarshal([]byte(text), &gone) != nil || gone.Rows["subjects"] != 1 || gone.Rows["tenants"] != 1 {
		t.Fatalf("%d %s %s", code, text, errOut)
	}
	if r, err := erasure.Verify(gone.Receipt, jwks); err != nil || r.Kind != erasure.KindTenant || r.Tenant != acme.Tenant.String() || r.Issuer != s.URL {
		t.Errorf("%+v %v", r, err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"receipt": []byte(gone.Receipt), "jwks": jwks} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var checked, errs bytes.Buffer
	if code := app.Main(t.Context(), []string{"keys", "verify-receipt", filepath.Join(dir, "receipt"), "--jwks", filepath.Join(dir, "jwks")}, &checked, &errs); code != 0 || !strings.Contains(checked.String(), acme.Tenant.String()) {
		t.Errorf("%d %s %s", code, checked.String(), errs.String())
	}
	delete(p.canaries, "tenant") // its id stays in the audit trail, which nobody may change (decision 0010)
	if found := p.left(); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
	if _, errOut, code := tenants(t, s, "erase", "acme", "--confirm", "acme", "--kek-file", s.KEKFile); code != 1 || !strings.Contains(errOut, "no such tenant") {
		t.Errorf("erased twice: %d %s", code, errOut)
	}
	works(t, s, stays)
}

func subjects(t *testing.T, s *authtest.Server, args ...string) (string, string, int) {
	t.Helper()
	return run(t, s, "subjects", append(args, "--kek-file", s.KEKFile)...)
}

func tenants(t *testing.T, s *authtest.Server, args ...string) (string, string, int) {
	t.Helper()
	return run(t, s, "tenants", args...)
}

// run runs a command about the server's tenants or people.
func run(t *testing.T, s *authtest.Server, command string, args ...string) (string, string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	all := append(append([]string{command}, args...), "--database-url", s.DSN, "--issuer", s.URL, "--resource-url", authtest.Resource)
	if command == "subjects" && args[0] == "erase" {
		all = append(all, "--google-revoke-url", s.Google.URL+"/revoke")
	}
	code := app.Main(t.Context(), all, &out, &errOut)
	return out.String(), errOut.String(), code
}

func subjectID(t *testing.T, s string) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
