package app_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/tenant"
	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/exchange"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const gmailRead = "https://www.googleapis.com/auth/gmail.readonly"

func request(out map[string]any, scopes ...string) exchange.Request {
	return exchange.Request{SubjectToken: secret.NewText(out["access_token"].(string)), Scopes: oauth.NewScopes(scopes...), Tool: "test"}
}

func failure(t *testing.T, err error) *exchange.Error {
	t.Helper()
	var e *exchange.Error
	if !errors.As(err, &e) {
		t.Fatalf("no exchange error: %v", err)
	}
	return e
}

// TestExchange: a Google token for the person of the token, with what the token carries, and never a refresh token.
func TestExchange(t *testing.T) {
	t.Parallel()
	t.Run("AS-X1 AS-X2 the token of Google is for the person of the subject token", exchanged)
}

func exchanged(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Choice.Account = "bob@example.com"
	x := s.Exchanger(t, s.Internal)
	got, err := x.Exchange(t.Context(), request(s.SignIn(t, v), gmailRead))
	if err != nil {
		t.Fatal(err)
	}
	if got.AccountEmail != "bob@example.com" || !strings.HasPrefix(got.Account, "acc_") || got.ExpiresIn < 3000 || got.CacheTTL > 300 || got.CacheTTL < 200 || got.GrantVersion < 1 {
		t.Errorf("%+v", got)
	}
	resp := get(t, s.Google.URL+"/gmail/v1/users/me/profile", "Authorization", "Bearer "+got.AccessToken)
	if out := decodeBody(t, resp); out["emailAddress"] != "bob@example.com" {
		t.Errorf("the token opens %v", out)
	}
}

// TestExchangeRefuses: PEERS A13, A14, DESIGN §6: wrong caller, wrong token, more than the token carries, revoked grant.
func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	t.Run("AS-X1 AS-X2 A13 A14 A16 a wrong caller, a wrong token, more than it carries, a revoked grant", exchangeRefuses)
}

func exchangeRefuses(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read accounts")
	out := s.SignIn(t, v)
	x := s.Exchanger(t, s.Internal)
	_, err := x.Exchange(t.Context(), request(out, "https://www.googleapis.com/auth/drive.readonly"))
	if e := failure(t, err); e.Code != oauth.InsufficientScope || e.Scope != "drive.read" || e.Status != 403 {
		t.Errorf("escalation: %+v", e)
	}
	_, err = x.Exchange(t.Context(), request(out, "https://mail.google.com/"))
	if e := failure(t, err); e.Code != oauth.InsufficientScope {
		t.Errorf("a scope nobody may have: %+v", e)
	}
	r := request(out, gmailRead)
	r.Account = "acc_00000000-0000-7000-8000-000000000000"
	_, err = x.Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != exchange.AccountSelectionRequired || len(e.Accounts) != 1 {
		t.Errorf("another account: %+v", e)
	}
	parts := strings.Split(out["access_token"].(string), ".")
	for name, token := range map[string]string{
		"Google token": "ya29.x", "refresh token": out["refresh_token"].(string), "changed signature": parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"alg none": "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
	} {
		r := request(out, gmailRead)
		r.SubjectToken = secret.NewText(token)
		_, err := x.Exchange(t.Context(), r)
		if e := failure(t, err); e.Code != oauth.InvalidGrant {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for name, change := range map[string]func(url.Values){
		"no assertion": func(f url.Values) {},
		"wrong assertion": func(f url.Values) {
			f.Set("client_assertion_type", oauth.ClientAssertionJWTBearer)
			f.Set("client_assertion", parts[0]+"."+parts[1]+"."+parts[2])
		},
	} {
		f := request(out, gmailRead).Form()
		change(f)
		resp, err := http.PostForm(s.Internal+exchange.Path, f)
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeBody(t, resp); resp.StatusCode != 401 || got["error"] != "invalid_client" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, resp.StatusCode, got)
		}
	}
	if resp := get(t, s.URL+exchange.Path); resp.StatusCode != http.StatusNotFound {
		t.Errorf("AS-X2: the exchange is public: %d", resp.StatusCode)
	}
	execSQL(t, s.DSN, `UPDATE grants SET revoked_at = now()`)
	_, err = x.Exchange(t.Context(), request(out, gmailRead))
	if e := failure(t, err); e.Code != oauth.InvalidGrant {
		t.Errorf("revoked grant: %+v", e)
	}
}

func execSQL(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, q := range []string{`SET ROLE latchkey_runtime`, `SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)`, sql} {
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
}

// rounds is how often a race is run: LATCHKEY_ROUNDS (100 is the promise), or few enough for every run.
func rounds(t *testing.T) int {
	t.Helper()
	s := os.Getenv("LATCHKEY_ROUNDS")
	if s == "" {
		return 5
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// together runs n exchanges at once, spread over the replicas, which must all get the same token.
func together(t *testing.T, replicas []*exchange.Client, n int, r exchange.Request) *exchange.Response {
	t.Helper()
	var wg sync.WaitGroup
	answers := make([]*exchange.Response, n)
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = replicas[i%len(replicas)].Exchange(context.Background(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a == nil {
			t.FailNow()
		}
		if a.AccessToken != answers[0].AccessToken || a.GrantVersion != answers[0].GrantVersion {
			t.Fatal("two different tokens")
		}
	}
	return answers[0]
}

// TestRefreshOnce: 50 parallel exchanges at expiry over two replicas make exactly one refresh at Google.
func TestRefreshOnce(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	replicas := []*exchange.Client{s.Exchanger(t, s.Internal), s.Exchanger(t, s.Replica(t).Internal)}
	for round := 1; round <= rounds(t); round++ {
		execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
		together(t, replicas, 50, request(out, gmailRead))
		if n := s.Google.Count("refresh"); n != round {
			t.Fatalf("%d refreshes after %d rounds", n, round)
		}
	}
}

// TestForcedOnce: DESIGN §6: a token that Google refused is replaced once: who reports the same version later, or at another replica, gets the newer
// token without a word to Google; and so does a caller whose token carries less.
func TestForcedOnce(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	everything := s.SignIn(t, s.NewVisit(t))
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read accounts")
	replicas := []*exchange.Client{s.Exchanger(t, s.Internal), s.Exchanger(t, s.Replica(t).Internal)}
	for name, row := range map[string]struct {
		token map[string]any
		most  int // refreshes after all
	}{"everything": {everything, 1}, "mail only": {s.SignIn(t, v), 2}} {
		r := request(row.token, gmailRead)
		refused, err := replicas[0].Exchange(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r.ForceRefresh, r.GrantVersion = true, refused.GrantVersion
		before := s.Google.Count("refresh")
		fresh, err := replicas[0].Exchange(t.Context(), r)
		if err != nil || fresh.AccessToken == refused.AccessToken || fresh.GrantVersion != refused.GrantVersion+1 {
			t.Fatalf("%s: not replaced: %v", name, err)
		}
		if again := together(t, replicas[:1], 20, r); again.AccessToken != fresh.AccessToken {
			t.Errorf("%s: replaced again", name)
		}
		if other := together(t, replicas[1:], 20, r); other.GrantVersion != fresh.GrantVersion || other.AccessToken == refused.AccessToken {
			t.Errorf("%s: the other replica gives version %d", name, other.GrantVersion)
		}
		if n := s.Google.Count("refresh") - before; n < 1 || n > row.most {
			t.Errorf("%s: %d refreshes for one refused token", name, n)
		}
	}
}

// TestTestingMode: GOOGLE §6 no. 7: a client in Google's testing mode: no warning for six days, then one in every answer and one line in the log; signing in
// again renews it; and when Google has ended it, that is what is said.
func TestTestingMode(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	s.Google.SetTesting("google-id", 7*24*time.Hour)
	out := s.SignIn(t, s.NewVisit(t))
	x := s.Exchanger(t, s.Internal)
	warning := func(what string) *exchange.Warning {
		t.Helper()
		got, err := x.Exchange(t.Context(), request(out, gmailRead))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return got.Warning
	}
	if w := warning("the first day"); w != nil {
		t.Errorf("warned on the first day: %+v", w)
	}
	execSQL(t, s.DSN, `UPDATE credentials SET refresh_expires_at = refresh_expires_at - interval '6 days'`)
	for range 3 {
		if w := warning("the last day"); w == nil || w.Code != exchange.TestingEnds || w.EndsIn > 24*3600 || w.EndsIn < 23*3600 {
			t.Errorf("the last day: %+v", w)
		}
	}
	again := s.SignIn(t, s.NewVisit(t)) // Google is asked for a new refresh token, although one is stored
	if w := warning("after signing in again"); w != nil {
		t.Errorf("warned after signing in again: %+v", w)
	}
	s.Google.RevokeUser("alice@example.com")
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now(), refresh_expires_at = now()`)
	for _, token := range []map[string]any{out, again} {
		_, err := x.Exchange(t.Context(), request(token, gmailRead))
		if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.TestingExpired {
			t.Errorf("after seven days: %+v", e)
		}
	}
	out = s.SignIn(t, s.NewVisit(t))
	if w := warning("repaired"); w != nil {
		t.Errorf("%+v", w)
	}
}

// TestGoogleTrouble: DESIGN §6: 5xx serves the old token while it lives and changes nothing; invalid_grant asks to connect again and keeps the row; our own mistake touches no credential.
func TestGoogleTrouble(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	out := s.SignIn(t, s.NewVisit(t))
	x := s.Exchanger(t, s.Internal)
	old, err := x.Exchange(t.Context(), request(out, gmailRead))
	if err != nil {
		t.Fatal(err)
	}
	clear := s.Google.Inject(fakegoogle.Fault{Prefix: "/token", Status: 503})
	r := request(out, gmailRead)
	r.MinTTL = 20 * time.Minute
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now() + interval '10 minutes'`)
	if got, err := x.Exchange(t.Context(), r); err != nil || got.AccessToken != old.AccessToken {
		t.Errorf("the living token is not served while Google is away: %v", err)
	}
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	_, err = x.Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.TemporarilyUnavailable || e.Status != 503 || e.RetryAfter == 0 {
		t.Errorf("Google away: %+v", e)
	}
	clear()
	clear = s.Google.Inject(fakegoogle.Fault{Prefix: "/token", Status: 503, RetryAfter: 40})
	_, err = s.Exchanger(t, s.Replica(t).Internal).Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter != 40 {
		t.Errorf("Google says when: %+v", e)
	}
	clear()
	clear = s.Google.Inject(fakegoogle.Fault{Prefix: "/token", Status: 401, Code: "invalid_client"})
	_, err = x.Exchange(t.Context(), r)
	if e := failure(t, err); e.Code != oauth.ServerError {
		t.Errorf("our client refused: %+v", e)
	}
	clear()
	if _, err := x.Exchange(t.Context(), r); err != nil {
		t.Fatalf("after the trouble: %v", err)
	}
	s.Google.RevokeUser("alice@example.com")
	execSQL(t, s.DSN, `UPDATE credentials SET access_expires_at = now()`)
	for range 2 {
		_, err = x.Exchange(t.Context(), r)
		if e := failure(t, err); e.Code != oauth.InteractionRequired || e.Reason != exchange.ReauthRequired {
			t.Errorf("revoked at Google: %+v", e)
		}
	}
	again := s.SignIn(t, s.NewVisit(t)) // signing in again repairs the same connection
	if _, err := x.Exchange(t.Context(), request(again, gmailRead)); err != nil {
		t.Errorf("after signing in again: %v", err)
	}
	if _, err := x.Exchange(t.Context(), request(out, gmailRead)); err != nil {
		t.Errorf("the first grant after the repair: %v", err)
	}
}

// TestExchangeGivesNoMoreThanTheTokenCarries: DESIGN §1.1 [law]: a person who once granted Drive does not give it to every client.
func TestExchangeGivesNoMoreThanTheTokenCarries(t *testing.T) {
	t.Parallel()
	t.Run("A13 AS-X1 consent to one client gives nothing to another", exchangeGivesNoMoreThanTheTokenCarries)
}

func exchangeGivesNoMoreThanTheTokenCarries(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	everything := s.SignIn(t, s.NewVisit(t))
	v := s.NewVisit(t)
	v.Query.Set("scope", "gmail.read accounts")
	mailOnly := s.SignIn(t, v)
	v = s.NewVisit(t)
	v.Query.Set("scope", "accounts")
	identityOnly := s.SignIn(t, v)
	x := s.Exchanger(t, s.Internal)
	for name, c := range map[string]struct {
		token       map[string]any
		ask         []string
		mail, drive int
	}{
		"everything": {everything, []string{gmailRead}, 200, 200},
		"mail only":  {mailOnly, []string{gmailRead}, 200, 403},
		"identity":   {identityOnly, nil, 403, 403},
	} {
		refreshes := s.Google.Count("refresh")
		var first string
		for range 3 { // the narrowed token is kept
			got, err := x.Exchange(t.Context(), request(c.token, c.ask...))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if first == "" {
				first = got.AccessToken
			}
			if got.AccessToken != first || got.AccountEmail != "alice@example.com" {
				t.Errorf("%s: another token at the next call", name)
			}
		}
		if n := s.Google.Count("refresh") - refreshes; n > 1 {
			t.Errorf("%s: %d refreshes", name, n)
		}
		for path, want := range map[string]int{"/gmail/v1/users/me/profile": c.mail, "/drive/v3/files": c.drive} {
			if resp := get(t, s.Google.URL+path, "Authorization", "Bearer "+first); resp.StatusCode != want {
				t.Errorf("%s: %s answers %d, not %d", name, path, resp.StatusCode, want)
			}
		}
	}
}

// runAs changes rows of a tenant as the jobs role.
func runAs(t *testing.T, dsn string, of tenant.ID, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, q := range []string{`SET ROLE latchkey_jobs`, sql + ` AND tenant_id = '` + of.String() + `'`} {
		if _, err := conn.Exec(ctx, q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
