package app_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/authserver/internal/authtest"
	"latchkey/authserver/internal/config"
	"latchkey/authserver/internal/pgtest"
	"latchkey/pkg/oauth"
)

// header is a JWT's header.
func header(t *testing.T, token string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	return document(t, string(raw))
}

// refused: the answer is an OAuth error with this code.
func refused(t *testing.T, what string, status int, out map[string]any, wantStatus int, code oauth.Code) {
	t.Helper()
	if status != wantStatus || out["error"] != string(code) || out["access_token"] != nil {
		t.Errorf("%s: %d %v, want %s", what, status, out, code)
	}
}

// TestRowsToken: PROTOCOL 1.5 for codes and refresh tokens.
func TestRowsToken(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	code := func(t *testing.T, v *authtest.Visit) string {
		t.Helper()
		q, p := s.Walk(t, v)
		if q.Get("code") == "" {
			t.Fatalf("no code: %v, page %d", q, p.Status)
		}
		return q.Get("code")
	}
	t.Run("AS-T1 unknown parameters are ignored, each known one may be given once", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		form := v.Redeem(code(t, v))
		for name := range form {
			twice := url.Values{}
			for k, values := range form {
				twice[k] = values
			}
			twice[name] = []string{form.Get(name), form.Get(name)}
			status, out := s.Token(t, twice)
			refused(t, name+" twice", status, out, http.StatusBadRequest, oauth.InvalidRequest)
		}
		form["unknown"] = []string{"a", "b"}
		if status, out := s.Token(t, form); status != http.StatusOK {
			t.Errorf("%d %v", status, out)
		}
	})
	t.Run("AS-T4 redirect_uri may be left out, as OAuth 2.1 has it", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		if status, out := s.Token(t, with(v.Redeem(code(t, v)), "redirect_uri", "")); status != http.StatusOK {
			t.Errorf("%d %v", status, out)
		}
	})
	t.Run("AS-T5 A1 a code used again later ends the grant, with a wrong verifier it does not", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		v := own.NewVisit(t)
		q, _ := own.Walk(t, v)
		form := v.Redeem(q.Get("code"))
		_, tokens := own.Token(t, form)
		execSQL(t, own.DSN, `UPDATE grants SET redeemed_at = redeemed_at - interval '10 seconds'`)
		x := own.Exchanger(t, own.Internal)
		for name, change := range map[string]string{"code_verifier": strings.Repeat("v", 43), "client_id": own.Register(t), "redirect_uri": "http://127.0.0.1:7/other"} {
			status, out := own.Token(t, with(form, name, change))
			refused(t, "replay with another "+name, status, out, http.StatusBadRequest, oauth.InvalidGrant)
		}
		if _, err := x.Exchange(t.Context(), request(tokens, gmailRead)); err != nil {
			t.Fatalf("a stranger's replay ended the grant: %v", err)
		}
		status, out := own.Token(t, form)
		refused(t, "replay", status, out, http.StatusBadRequest, oauth.InvalidGrant)
		status, out = own.Token(t, v.Refresh(tokens["refresh_token"].(string)))
		refused(t, "refresh after the replay", status, out, http.StatusBadRequest, oauth.InvalidGrant)
		if _, err := x.Exchange(t.Context(), request(tokens, gmailRead)); err == nil {
			t.Error("the access token still opens Google after the replay")
		}
	})
	t.Run("AS-T6 AS-T15 AS-A10 a success is 200, JSON, no-store, short-lived, with its scope", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		a := ask(t, http.MethodPost, s.URL+"/token", v.Redeem(code(t, v)).Encode(), "Content-Type", formType)
		m := document(t, a.Body)
		if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" || m["token_type"] != "Bearer" || m["scope"] == nil {
			t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
		}
		c := claimsOf(t, m["access_token"].(string))
		if life := c.Expiry - c.IssuedAt; m["expires_in"] != float64(life) || life <= 0 || life > 3600 {
			t.Errorf("expires_in %v, really %d s", m["expires_in"], life)
		}
	})
	t.Run("AS-A21 a code lives a minute and tells nothing", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		v := own.NewVisit(t)
		q, _ := own.Walk(t, v)
		var seconds float64
		if err := pgtest.QueryRow(t, own.DSN, `SELECT extract(epoch FROM code_expires_at - created_at) FROM grants`, &seconds); err != nil || seconds > 60 || seconds < 1 {
			t.Errorf("%v s (%v)", seconds, err)
		}
		for name := range q {
			if !slices.Contains([]string{"code", "state", "iss"}, name) {
				t.Errorf("the response has %s", name)
			}
		}
		execSQL(t, own.DSN, `UPDATE grants SET code_expires_at = now()`)
		status, out := own.Token(t, v.Redeem(q.Get("code")))
		refused(t, "late", status, out, http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("AS-T8 a refresh token used again after the grace ends its whole family", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		v := own.NewVisit(t)
		first := own.SignIn(t, v)["refresh_token"].(string)
		_, out := own.Token(t, v.Refresh(first))
		second := out["refresh_token"].(string)
		if first == second {
			t.Fatal("no rotation")
		}
		execSQL(t, own.DSN, `UPDATE grants SET rotated_at = rotated_at - interval '2 minutes'`)
		for what, token := range map[string]string{"the old one": first} {
			status, out := own.Token(t, v.Refresh(token))
			refused(t, what, status, out, http.StatusBadRequest, oauth.InvalidGrant)
		}
		status, out := own.Token(t, v.Refresh(second))
		refused(t, "the live one", status, out, http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("AS-T9 A5 a refresh token works for its client only, and a stranger does not burn it", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		token := s.SignIn(t, v)["refresh_token"].(string)
		confidential := s.RegisterWith(t, nil)
		for name, form := range map[string]url.Values{
			"another public client":       with(v.Refresh(token), "client_id", s.Register(t)),
			"another confidential client": with(v.Refresh(token), "client_id", confidential["client_id"].(string), "client_secret", confidential["client_secret"].(string)),
			"a document":                  with(v.Refresh(token), "client_id", s.Host.PublishClient(t, "/t9.json", nil)),
		} {
			status, out := s.Token(t, form)
			refused(t, name, status, out, http.StatusBadRequest, oauth.InvalidGrant)
		}
		if status, out := s.Token(t, v.Refresh(token)); status != http.StatusOK {
			t.Errorf("its own client: %d %v", status, out)
		}
	})
	t.Run("AS-T10 a refresh token is issued to clients that registered for it or ask offline_access", func(t *testing.T) {
		t.Parallel()
		plain := s.RegisterWith(t, map[string]any{"grant_types": []string{"authorization_code"}, "token_endpoint_auth_method": "none"})["client_id"].(string)
		for scope, want := range map[string]bool{"gmail.read accounts": false, "gmail.read accounts offline_access": true} {
			v := s.VisitAs(t, plain)
			v.Query.Set("scope", scope)
			if out := s.SignIn(t, v); (out["refresh_token"] != nil) != want || out["scope"] != "accounts gmail.read" {
				t.Errorf("%s: %v", scope, out)
			}
		}
	})
	t.Run("AS-T10 A4 a refresh token ends by inactivity, and at its grant's end whatever its use", func(t *testing.T) {
		t.Parallel()
		for column, most := range map[string]string{"idle_expires_at": "30 days", "expires_at": "180 days"} {
			own := authtest.Start(t)
			v := own.NewVisit(t)
			token := own.SignIn(t, v)["refresh_token"].(string)
			if n := rowsOf(t, own.DSN, `SELECT count(*) FROM grants WHERE `+column+` <= created_at + interval '`+most+` 1 minute'`); n != 1 {
				t.Errorf("%s is further off than %s", column, most)
			}
			execSQL(t, own.DSN, `UPDATE grants SET `+column+` = now()`)
			status, out := own.Token(t, v.Refresh(token))
			refused(t, column, status, out, http.StatusBadRequest, oauth.InvalidGrant)
		}
	})
	t.Run("AS-T14 there is no password grant, no implicit grant, and no exchange in public", func(t *testing.T) {
		t.Parallel()
		v := s.NewVisit(t)
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:device_code", "none"} {
			status, out := s.Token(t, url.Values{"grant_type": {grant}, "client_id": {v.Client}, "username": {"alice"}, "password": {"x"}, "subject_token": {"x"}, "assertion": {"x"}})
			refused(t, grant, status, out, http.StatusBadRequest, oauth.UnsupportedGrantType)
		}
	})
	t.Run("AS-T16 a dead code or token is invalid_grant, a gone client invalid_client, doubt neither", func(t *testing.T) {
		t.Parallel()
		own := authtest.Start(t)
		v := own.NewVisit(t)
		token := own.SignIn(t, v)["refresh_token"].(string)
		for name, form := range map[string]url.Values{"invented code": v.Redeem("lkc_invented"), "invented token": v.Refresh("lkr_invented"), "somebody's token": v.Refresh("ya29.x")} {
			status, out := own.Token(t, form)
			refused(t, name, status, out, http.StatusBadRequest, oauth.InvalidGrant)
		}
		execSQL(t, own.DSN, `DELETE FROM clients`)
		status, out := own.Replica(t).Token(t, v.Refresh(token)) // the replica remembers no client
		refused(t, "gone client", status, out, http.StatusUnauthorized, oauth.InvalidClient)
	})
}

// TestRowsAlgorithms: PROTOCOL AS-K1: RFC 9068 §2.1 wants RS256 beside what a tenant prefers.
func TestRowsAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		t.Run("AS-K1 AS-K6 a tenant's tokens are signed and verified with "+alg, func(t *testing.T) {
			t.Parallel()
			s := authtest.Start(t, func(c *config.Server) { c.AccessTokenAlg = alg })
			v := s.NewVisit(t)
			out := s.SignIn(t, v)
			h := header(t, out["access_token"].(string))
			keys, _ := document(t, ask(t, http.MethodGet, s.URL+"/jwks", "").Body)["keys"].([]any)
			if len(keys) != 1 {
				t.Fatal(keys)
			}
			if k, _ := keys[0].(map[string]any); h["alg"] != alg || h["typ"] != "at+jwt" || k["alg"] != alg || k["kid"] != h["kid"] {
				t.Errorf("%v, published %v", h, k)
			}
			if _, err := s.Exchanger(t, s.Internal).Exchange(t.Context(), request(out, gmailRead)); err != nil {
				t.Error("the exchange does not verify it: ", err)
			}
			reg := s.RegisterWith(t, nil)
			if status, _, _ := post(t, s.URL+"/revoke", url.Values{"token": {out["access_token"].(string)}, "client_id": {v.Client}}, "", ""); status != http.StatusOK {
				t.Errorf("revoking: %d", status)
			}
			if status, refusal := s.Token(t, v.Refresh(out["refresh_token"].(string))); status != http.StatusBadRequest || refusal["error"] != "invalid_grant" {
				t.Errorf("the revocation did not understand the token: %d %v", status, refusal)
			}
			// A token whose header names another algorithm is none of ours.
			head, rest, _ := strings.Cut(out["access_token"].(string), ".")
			raw, err := base64.RawURLEncoding.DecodeString(head)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range []string{"none", "HS256", "PS256", "ES384"} {
				forged := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), `"`+alg+`"`, `"`+other+`"`, 1))) + "." + rest
				if _, _, out := post(t, s.URL+"/introspect", url.Values{"token": {forged}}, reg["client_id"].(string), reg["client_secret"].(string)); out["active"] != false {
					t.Errorf("%s: %v", other, out)
				}
			}
		})
	}
}

// TestRowsAccessToken: PROTOCOL 1.6.
func TestRowsAccessToken(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	v := s.NewVisit(t)
	v.Choice.Account = "bob@example.com"
	out := s.SignIn(t, v)
	token := out["access_token"].(string)
	h, c := header(t, token), claims(t, token)
	t.Run("AS-K1 at+jwt, signed by a published asymmetric key", func(t *testing.T) {
		keys, _ := document(t, ask(t, http.MethodGet, s.URL+"/jwks", "").Body)["keys"].([]any)
		found := false
		for _, k := range keys {
			k, _ := k.(map[string]any)
			found = found || k["kid"] == h["kid"] && k["alg"] == h["alg"] && k["use"] == "sig"
		}
		if h["typ"] != "at+jwt" || !slices.Contains([]any{"ES256", "EdDSA", "RS256"}, h["alg"]) || h["jwk"] != nil || h["jku"] != nil || h["x5u"] != nil || !found {
			t.Errorf("%v, published: %v", h, found)
		}
	})
	t.Run("AS-K2 the claims of RFC 9068, fresh at each issue", func(t *testing.T) {
		_, next := s.Token(t, v.Refresh(out["refresh_token"].(string)))
		again := claims(t, next["access_token"])
		for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"} {
			if c[name] == nil || again[name] == nil {
				t.Errorf("no %s", name)
			}
		}
		if c["iss"] != s.URL || c["client_id"] != v.Client || c["scope"] != out["scope"] || again["jti"] == c["jti"] || again["sub"] != c["sub"] || c["sub"] == c["client_id"] {
			t.Errorf("%v, then %v", c, again)
		}
	})
	t.Run("AS-K3 A14 one audience, which is the resource and not the issuer", func(t *testing.T) {
		if c["aud"] != authtest.Resource || c["aud"] == c["iss"] {
			t.Errorf("aud %v", c["aud"])
		}
	})
	t.Run("AS-K5 no personal data and nothing of Google inside", func(t *testing.T) {
		made := maps.Clone(c) // what is random may have a short word in it
		for _, name := range []string{"client_id", "jti"} {
			delete(made, name)
		}
		inside, err := json.Marshal([]any{h["alg"], h["typ"], slices.Sorted(maps.Keys(h)), slices.Sorted(maps.Keys(c)), made})
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"bob", "example.com", "Bob", "ya29.", "1//0", "google", "email", "name"} {
			if strings.Contains(string(inside), word) {
				t.Errorf("%q is in the token", word)
			}
		}
		var sub string
		if err := pgtest.QueryRow(t, s.DSN, `SELECT google_sub FROM subjects`, &sub); err != nil || sub == "" || strings.Contains(string(inside), `"`+sub+`"`) {
			t.Errorf("Google's sub is in the token (%v)", err)
		}
	})
	t.Run("AS-X2 the token response holds nothing of Google", func(t *testing.T) {
		for name, value := range out {
			if !slices.Contains([]string{"access_token", "token_type", "expires_in", "refresh_token", "scope"}, name) || strings.Contains(v2s(value), "ya29.") || strings.HasPrefix(v2s(value), "1//") {
				t.Errorf("%s: %v", name, value)
			}
		}
	})
	t.Run("AS-X2 the internal listener's paths are not there in public", func(t *testing.T) {
		for _, path := range []string{"/internal/exchange", "/internal/accounts", "/internal/resources", "/internal/revocations", "/livez", "/readyz", "/metrics", "/t/default/internal/exchange", "/./internal/exchange", "/%69nternal/exchange", "//internal/exchange"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				a := ask(t, method, s.URL+path, "grant_type=x", "Content-Type", formType)
				if a.Status != http.StatusNotFound && (a.Status < 300 || a.Status > 399) || strings.Contains(a.Header.Get("Location"), "://") {
					t.Errorf("%s %s: %d", method, path, a.Status)
				}
			}
		}
	})
	t.Run("AS-S1 neither code, tokens nor address stand in any row", func(t *testing.T) {
		var all string
		tables := []string{"subjects", "connections", "credentials", "clients", "flows", "consents", "grants", "pushed_requests", "client_documents", "signing_keys", "data_keys"}
		for _, table := range tables {
			var rows string
			if err := pgtest.QueryRow(t, s.DSN, `SELECT coalesce(string_agg(row_to_json(x)::text, E'\n'), '') FROM `+table+` x`, &rows); err != nil {
				t.Fatal(err)
			}
			all += rows
		}
		if len(all) < 1000 {
			t.Fatal("the dump is almost empty: it looks in the wrong place")
		}
		for name, secret := range map[string]string{"refresh token": out["refresh_token"].(string)[4:], "access token": token[20:60], "address": "bob@", "Google's token": "ya29.", "Google's refresh token": "1//0"} {
			raw := strings.ReplaceAll(all, `\\x`, "")
			if strings.Contains(raw, secret) || strings.Contains(raw, hexOf(secret)) {
				t.Errorf("%s is stored in clear", name)
			}
		}
	})
	t.Run("AS-S3 a grant leaves a line with ids and scopes", func(t *testing.T) {
		found := map[string]bool{}
		for line := range strings.Lines(s.Logs.String()) {
			m := document(t, line)
			if m["client"] == v.Client && m["grant"] == c["gid"] && m["tenant"] == c["tid"] && m["request_id"] != nil {
				found[v2s(m["path"])+" "+v2s(m["granted"])] = true
			}
		}
		if !found["/token "] || !found["/google/callback "+v2s(out["scope"])] {
			t.Errorf("lines: %v", found)
		}
	})
}

// hexOf is how bytea columns read in JSON.
func hexOf(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(digits[s[i]>>4])
		b.WriteByte(digits[s[i]&15])
	}
	return b.String()
}
