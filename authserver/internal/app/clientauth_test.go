package app_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/authtest"
	"latchkey/pkg/oauth"
)

// post posts a form, with Basic credentials if user is given.
func post(t *testing.T, at string, form url.Values, user, password string) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != "" {
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ContentLength == 0 {
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header, nil
	}
	return resp.StatusCode, resp.Header, decodeBody(t, resp)
}

func with(f url.Values, pairs ...string) url.Values {
	out := maps.Clone(f)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			out.Del(pairs[i])
		} else {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out
}

// TestSecretClients: AS-T2, AS-T3: a client with a secret proves itself on every grant, by form or by Basic.
func TestSecretClients(t *testing.T) {
	t.Parallel()
	t.Run("AS-T2 AS-T3 a client with a secret proves itself on every grant, by form or by Basic", secretClients)
}

func secretClients(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	for _, method := range []string{"client_secret_post", "client_secret_basic"} {
		reg := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": method})
		id, secret := reg["client_id"].(string), reg["client_secret"].(string)
		v := s.VisitAs(t, id)
		q, _ := s.Walk(t, v)
		form := v.Redeem(q.Get("code"))
		for name, c := range map[string]struct {
			form           url.Values
			user, password string
			basic          bool
		}{
			"no secret":             {form: form},
			"wrong secret":          {form: with(form, "client_secret", altered(secret))},
			"cut secret":            {form: with(form, "client_secret", secret[:len(secret)-1])},
			"the hash's text":       {form: with(form, "client_secret", "lks_")},
			"wrong by Basic":        {form: with(form, "client_id", ""), user: id, password: "wrong", basic: true},
			"empty by Basic":        {form: with(form, "client_id", ""), user: id, basic: true},
			"two ways":              {form: with(form, "client_secret", secret), user: id, password: secret, basic: true},
			"two clients":           {form: with(form, "client_id", "c_other"), user: id, password: secret, basic: true},
			"assertion for secret":  {form: with(form, "client_assertion", "x", "client_assertion_type", oauth.ClientAssertionJWTBearer)},
			"secret with an object": {form: with(form, "client_secret", "[object Object]")},
		} {
			status, h, out := post(t, s.URL+"/token", c.form, c.user, c.password)
			if status != http.StatusUnauthorized || out["error"] != "invalid_client" || c.basic != strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s, %s: %d %v %v", method, name, status, h.Get("WWW-Authenticate"), out)
			}
		}
		// None of these burnt the code (LIBRARIES A2: authenticate first).
		status, _, out := post(t, s.URL+"/token", with(form, "client_secret", secret), "", "")
		if status != http.StatusOK {
			t.Fatalf("%s by form: %d %v", method, status, out)
		}
		refresh := v.Refresh(out["refresh_token"].(string))
		if status, _, out := post(t, s.URL+"/token", refresh, "", ""); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("%s: refresh without the secret: %d %v", method, status, out)
		}
		if status, _, out = post(t, s.URL+"/token", with(refresh, "client_id", ""), url.QueryEscape(id), url.QueryEscape(secret)); status != http.StatusOK {
			t.Errorf("%s: refresh by Basic: %d %v", method, status, out)
		}
	}
	if strings.Contains(s.Logs.String(), "lks_") {
		t.Error("a client secret is in the log")
	}
}

// TestSecretGuessing: AS-T2: after 20 failures in a row the answer is 429, and the right secret still works.
func TestSecretGuessing(t *testing.T) {
	t.Parallel()
	t.Run("AS-T2 after many failures the answer is 429, and the right secret still works", secretGuessing)
}

func secretGuessing(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t, authtest.Limits(1))
	reg := s.RegisterWith(t, nil)
	id, secret := reg["client_id"].(string), reg["client_secret"].(string)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"lkr_x"}, "client_id": {id}}
	seen, began := map[int]int{}, time.Now()
	for seen[http.StatusTooManyRequests] < 15 && seen[http.StatusUnauthorized] < 1000 && len(seen) <= 2 {
		status, h, _ := post(t, s.URL+"/token", with(form, "client_secret", "guess"), "", "")
		if seen[status]++; status == http.StatusTooManyRequests && h.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	most := 20 + int(time.Since(began)/(3*time.Second)) + 2 // one comes back every three seconds
	if n := seen[http.StatusUnauthorized]; n < 15 || n > most || seen[http.StatusTooManyRequests] < 15 || len(seen) != 2 {
		t.Errorf("answers: %v, 15 to %d guesses are right", seen, most)
	}
	if status, _, out := post(t, s.URL+"/token", with(form, "client_secret", secret), "", ""); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
		t.Errorf("the right secret: %d %v", status, out)
	}
}

// TestPrivateKeyJWT: AS-T12, AS-C10: RFC 7523 assertions, by inline keys and by jwks_uri, every algorithm, every refusal.
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	es := authtest.ClientKey(t, "es")
	_, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed := jose.JSONWebKey{Key: edPrivate, KeyID: "ed", Algorithm: "EdDSA", Use: "sig"}
	rs, ps := jose.JSONWebKey{Key: rsaPrivate, KeyID: "rs", Algorithm: "RS256"}, jose.JSONWebKey{Key: rsaPrivate, KeyID: "ps", Algorithm: "PS256"}
	stranger := authtest.ClientKey(t, "es")
	inline := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(es, ed, rs, ps)})["client_id"].(string)
	fetched := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": s.Host.Publish(t, "/jwks.json", authtest.KeySet(es))})["client_id"].(string)

	v := s.VisitAs(t, inline)
	q, _ := s.Walk(t, v)
	form := with(v.Redeem(q.Get("code")), "client_assertion_type", oauth.ClientAssertionJWTBearer)
	sign := func(key jose.JSONWebKey, audience string, change func(*jwt.Claims)) string {
		return authtest.Assertion(t, key, inline, audience, change)
	}
	hmacKey := jose.JSONWebKey{Key: []byte(strings.Repeat("k", 32)), KeyID: "es", Algorithm: "HS256"}
	good := sign(es, s.URL, nil)
	renamed := func(audience string) string { // RFC 9864: the same signature under its newer name
		payload := strings.Split(sign(ed, audience, nil), ".")[1]
		signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"Ed25519","kid":"ed"}`)) + "." + payload
		return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(edPrivate, []byte(signed)))
	}
	for name, assertion := range map[string]string{
		"AS-T12 another audience":      sign(es, "https://other.example", nil),
		"AS-T12 the resource":          sign(es, authtest.Resource, nil),
		"AS-T12 two audiences":         sign(es, s.URL, func(c *jwt.Claims) { c.Audience = jwt.Audience{s.URL, "https://other.example"} }),
		"AS-T12 no audience":           sign(es, s.URL, func(c *jwt.Claims) { c.Audience = nil }),
		"AS-T12 a slash more":          sign(es, s.URL+"/", nil),
		"AS-T12 another issuer":        sign(es, s.URL, func(c *jwt.Claims) { c.Issuer = fetched }),
		"AS-T12 another subject":       sign(es, s.URL, func(c *jwt.Claims) { c.Subject = fetched }),
		"AS-T12 no jti":                sign(es, s.URL, func(c *jwt.Claims) { c.ID = "" }),
		"AS-T12 a jti beyond length":   sign(es, s.URL, func(c *jwt.Claims) { c.ID = strings.Repeat("j", 300) }),
		"AS-T12 A15 no exp":            sign(es, s.URL, func(c *jwt.Claims) { c.Expiry = nil }),
		"AS-T12 A15 expired":           sign(es, s.URL, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }),
		"AS-T12 lives for an hour":     sign(es, s.URL, func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(time.Hour)) }),
		"AS-T12 from the future":       sign(es, s.URL, func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(2 * time.Minute)) }),
		"AS-T12 not yet":               sign(es, s.URL, func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(2 * time.Minute)) }),
		"AS-T12 a stranger's key":      sign(stranger, s.URL, nil),
		"AS-T12 A27 a symmetric key":   sign(hmacKey, s.URL, nil),
		"AS-T12 A16 cut":               good[:len(good)-1],
		"AS-T12 A16 longer":            good + "A",
		"AS-T12 A27 alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + ".",
		"AS-T12 A27 beyond every size": strings.Repeat("a", 5000),
		"AS-T12 no JWT":                "x",
	} {
		t.Run(name, func(t *testing.T) {
			status, _, out := post(t, s.URL+"/token", with(form, "client_assertion", assertion), "", "")
			if (status != http.StatusUnauthorized || out["error"] != "invalid_client") && (status != http.StatusBadRequest || name != "AS-T12 A27 beyond every size") {
				t.Errorf("%d %v", status, out)
			}
		})
	}
	forged := renamed(s.URL)
	forged = forged[:strings.LastIndexByte(forged, '.')+1] + base64.RawURLEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	other := s.Replica(t) // it has not seen so many failures
	for name, f := range map[string]url.Values{
		"forged Ed25519":  with(form, "client_assertion", forged),
		"no assertion":    with(form, "client_assertion_type", ""),
		"another type":    with(form, "client_assertion", good, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
		"and a secret":    with(form, "client_assertion", good, "client_secret", "lks_x"),
		"for another one": with(form, "client_assertion", good, "client_id", fetched),
	} {
		if status, _, out := post(t, other.URL+"/token", f, "", ""); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	status, _, out := post(t, s.URL+"/token", with(form, "client_assertion", good, "client_id", ""), "", "") // client_id is optional (RFC 7521 §4.2)
	if status != http.StatusOK {
		t.Fatalf("ES256, audience issuer: %d %v", status, out)
	}
	refreshed := out["refresh_token"].(string)
	if status, _, out := post(t, s.URL+"/token", with(v.Refresh(refreshed), "client_assertion_type", oauth.ClientAssertionJWTBearer, "client_assertion", good), "", ""); status != http.StatusUnauthorized || out["error"] != "invalid_client" {
		t.Errorf("A17 replayed assertion: %d %v", status, out)
	}
	for name, assertion := range map[string]string{
		"AS-T12 accepted: EdDSA, audience token endpoint": sign(ed, s.URL+"/token", nil), "AS-T12 accepted: RS256, audience issuer": sign(rs, s.URL, nil), "AS-T12 accepted: PS256": sign(ps, s.URL, nil),
		"AS-T12 accepted: Ed25519": renamed(s.URL),
	} {
		t.Run(name, func(t *testing.T) {
			status, _, out := post(t, s.URL+"/token", with(v.Refresh(refreshed), "client_assertion_type", oauth.ClientAssertionJWTBearer, "client_assertion", assertion), "", "")
			if status != http.StatusOK {
				t.Fatalf("%d %v", status, out)
			}
			refreshed = out["refresh_token"].(string)
		})
	}

	// By jwks_uri, with a rotation of the client's keys.
	v = s.VisitAs(t, fetched)
	q, _ = s.Walk(t, v)
	form = with(v.Redeem(q.Get("code")), "client_assertion_type", oauth.ClientAssertionJWTBearer)
	s.Host.Answer("/jwks.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if status, _, out := post(t, s.URL+"/token", with(form, "client_assertion", authtest.Assertion(t, es, fetched, s.URL, nil)), "", ""); status != http.StatusServiceUnavailable {
		t.Errorf("keys cannot be fetched: %d %v", status, out)
	}
	s.Host.Publish(t, "/jwks.json", authtest.KeySet(es))
	if status, _, out = post(t, s.URL+"/token", with(form, "client_assertion", authtest.Assertion(t, es, fetched, s.URL, nil)), "", ""); status != http.StatusOK {
		t.Errorf("jwks_uri: %d %v", status, out)
	}
}

// TestAssertionRace: A17: of 16 parallel uses of one assertion at two replicas one wins, whatever it is used for.
func TestAssertionRace(t *testing.T) {
	t.Parallel()
	t.Run("A17 AS-T12 of 16 parallel uses of an assertion at two replicas one wins", assertionRace)
}

func assertionRace(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	urls := []string{s.URL, s.Replica(t).URL}
	key := authtest.ClientKey(t, "k")
	id := s.RegisterWith(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": authtest.KeySet(key)})["client_id"].(string)
	v := s.VisitAs(t, id)
	q, _ := s.Walk(t, v)
	withAssertion := func(f url.Values, assertion string) url.Values {
		return with(f, "client_assertion_type", oauth.ClientAssertionJWTBearer, "client_assertion", assertion)
	}
	status, _, out := post(t, s.URL+"/token", withAssertion(v.Redeem(q.Get("code")), authtest.Assertion(t, key, id, s.URL, nil)), "", "")
	if status != http.StatusOK {
		t.Fatal(status, out)
	}
	token := out["refresh_token"].(string)
	for range *races {
		assertion := authtest.Assertion(t, key, id, s.URL, nil)
		var mu sync.Mutex
		var winners []string
		at(urls, func(_ int, base string) {
			status, _, out := post(t, base+"/token", withAssertion(v.Refresh(token), assertion), "", "")
			switch {
			case status == http.StatusOK:
				mu.Lock()
				winners = append(winners, out["refresh_token"].(string))
				mu.Unlock()
			case status != http.StatusUnauthorized || out["error"] != "invalid_client":
				t.Errorf("%d %v", status, out)
			}
		})
		if len(winners) != 1 {
			t.Fatalf("%d winners", len(winners))
		}
		token = winners[0]
	}
	t.Logf("%d rounds of 16 uses of an assertion over two replicas: one winner each", *races)
}
