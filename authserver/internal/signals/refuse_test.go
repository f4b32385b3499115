package signals_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/authserver/internal/tenant"
)

// forge signs claims with a key of the attacker's choice.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("secevent+jwt").WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// googleKey is Google's public key as anybody can get it.
func (r *rig) googleKey(t testing.TB) *rsa.PublicKey {
	t.Helper()
	resp, err := http.Get(r.Google.URL + "/oauth2/v3/certs")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 1 {
		t.Fatal(err)
	}
	return set.Keys[0].Key.(*rsa.PublicKey)
}

// TestRefused: whatever Google did not sign for us as a security event is refused in the codes of RFC 8935 §2.4, and
// nothing happens: no grant ends, no jti is used up.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(r.googleKey(t))
	if err != nil {
		t.Fatal(err)
	}
	valid := r.claims(t, "sessions-revoked")
	event := valid["events"]
	with := func(changes map[string]any) map[string]any {
		c := maps.Clone(valid)
		maps.Copy(c, changes)
		for name, v := range changes {
			if v == nil {
				delete(c, name)
			}
		}
		return c
	}
	signed := func(changes map[string]any) string { return r.sign(t, with(changes)) }
	good := signed(nil)
	parts := strings.Split(good, ".")
	segment := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	typed := func(typ string) string {
		token, err := r.Google.Sign(valid, typ)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	about := func(uri string, subject any) string {
		return signed(map[string]any{"events": map[string]any{uri: map[string]any{"subject": subject}}})
	}
	const sessions, revoked = "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked", "https://schemas.openid.net/secevent/oauth/event-type/token-revoked"
	many := map[string]any{}
	for _, c := range "abcdefghi" {
		many["urn:"+string(c)] = map[string]any{}
	}
	now := time.Now()
	for name, c := range map[string]struct{ token, err string }{
		"empty":                           {"", "invalid_request"},
		"no token":                        {"a.b", "invalid_request"},
		"garbage":                         {strings.Repeat(".", 1000), "invalid_request"},
		"JSON serialization":              {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "invalid_request"},
		"signed by another key, known id": {forge(t, jose.RS256, private, "fake-1", valid), "authentication_failed"},
		"signed by another key":           {forge(t, jose.RS256, private, "mine", valid), "invalid_key"},
		"no key id":                       {forge(t, jose.RS256, private, "", valid), "invalid_key"},
		"alg none":                        {segment(`{"alg":"none","kid":"fake-1","typ":"secevent+jwt"}`) + "." + parts[1] + ".", "authentication_failed"},
		"alg none in capitals":            {segment(`{"alg":"NONE","kid":"fake-1"}`) + "." + parts[1] + "." + parts[2], "authentication_failed"},
		"HS256 with the public key":       {forge(t, jose.HS256, public, "fake-1", valid), "authentication_failed"},
		"HS256 with the public key, PEM":  {forge(t, jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "fake-1", valid), "authentication_failed"},
		"RS512":                           {forge(t, jose.RS512, private, "fake-1", valid), "authentication_failed"},
		"other claims":                    {parts[0] + "." + segment(`{"iss":"x"}`) + "." + parts[2], "authentication_failed"},
		"no signature":                    {parts[0] + "." + parts[1] + ".", "authentication_failed"},
		"our own access token":            {r.tokens["access_token"].(string), "authentication_failed"},
		"typ of an access token":          {typed("at+jwt"), "invalid_request"},
		"typ of a logout token":           {typed("logout+jwt"), "invalid_request"},

		"issuer of ID tokens":               {signed(map[string]any{"iss": r.Google.URL}), "invalid_issuer"},
		"another issuer":                    {signed(map[string]any{"iss": "https://accounts.google.com/"}), "invalid_issuer"},
		"no issuer":                         {signed(map[string]any{"iss": nil}), "invalid_issuer"},
		"another client":                    {signed(map[string]any{"aud": "another-id"}), "invalid_audience"},
		"part of the client id":             {signed(map[string]any{"aud": []string{"google", "google-id "}}), "invalid_audience"},
		"no audience":                       {signed(map[string]any{"aud": nil}), "invalid_audience"},
		"empty audience":                    {signed(map[string]any{"aud": ""}), "invalid_audience"},
		"in the future":                     {signed(map[string]any{"iat": now.Add(6 * time.Minute).Unix()}), "invalid_request"},
		"too long ago":                      {signed(map[string]any{"iat": now.Add(-31 * 24 * time.Hour).Unix()}), "invalid_request"},
		"without a time":                    {signed(map[string]any{"iat": nil}), "invalid_request"},
		"a time that is a text":             {signed(map[string]any{"iat": "now"}), "invalid_request"},
		"without jti":                       {signed(map[string]any{"jti": nil}), "invalid_request"},
		"a jti without end":                 {signed(map[string]any{"jti": strings.Repeat("j", 256)}), "invalid_request"},
		"an ID token as an event":           {signed(map[string]any{"events": nil, "sub": aliceSub, "exp": now.Add(time.Hour).Unix(), "nonce": "n"}), "invalid_request"},
		"no events":                         {signed(map[string]any{"events": map[string]any{}}), "invalid_request"},
		"too many events":                   {signed(map[string]any{"events": many}), "invalid_request"},
		"events as a list":                  {signed(map[string]any{"events": []any{event}}), "invalid_request"},
		"Events is not events":              {signed(map[string]any{"events": nil, "Events": event}), "invalid_request"},
		"an event without subject":          {signed(map[string]any{"events": map[string]any{sessions: map[string]any{}}}), "invalid_request"},
		"an event that is a text":           {signed(map[string]any{"events": map[string]any{sessions: "now"}}), "invalid_request"},
		"a subject without sub":             {about(sessions, map[string]any{"subject_type": "iss-sub", "iss": r.Google.URL + "/"}), "invalid_request"},
		"a sub without end":                 {about(sessions, map[string]any{"subject_type": "iss-sub", "iss": r.Google.URL + "/", "sub": strings.Repeat("1", 256)}), "invalid_request"},
		"a sub that PostgreSQL cannot hold": {about(sessions, map[string]any{"subject_type": "iss-sub", "iss": r.Google.URL + "/", "sub": "1\x00"}), "invalid_request"},
		"a short token prefix":              {about(revoked, map[string]any{"token_type": "refresh_token", "token_identifier_alg": "prefix", "token": "1//0"}), "invalid_request"},
		"a hash that is none":               {about(revoked, map[string]any{"token_type": "refresh_token", "token_identifier_alg": "hash_base64_sha512_sha512", "token": "AAAA"}), "invalid_request"},
	} {
		if status, code := r.deliver(t, c.token); status != http.StatusBadRequest || code != c.err {
			t.Errorf("%s: %d %s, not %s", name, status, code, c.err)
		}
	}
	for name, token := range map[string]string{
		"a subject of another issuer": about(sessions, map[string]any{"subject_type": "iss-sub", "iss": "https://issuer.example", "sub": aliceSub}),
		"an e-mail address":           about(sessions, map[string]any{"subject_type": "email", "email": alice}),
		"an access token":             about(revoked, map[string]any{"token_type": "access_token", "token_identifier_alg": "prefix", "token": "ya29.AAAAAAAAAAA"}),
		"a token we do not have":      about(revoked, map[string]any{"token_type": "refresh_token", "token_identifier_alg": "prefix", "token": "1//0BBBBBBBBBBBB"}),
		"an account we do not have":   about(sessions, map[string]any{"subject_type": "iss-sub", "iss": r.Google.URL + "/", "sub": "404"}),
	} {
		token = r.sign(t, remade(t, token, name))
		if status, _ := r.deliver(t, token); status != http.StatusAccepted || r.logged(`"jti":"`+name+`"`) != 1 || r.logged(`"note":`) == 0 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if got := r.stored(t, tenant.DefaultID); got != (stored{status: "active", access: true, refresh: true, named: true, version: 1}) {
		t.Errorf("something happened: %+v", got)
	}
	for name, token := range map[string]string{"no typ is tolerated": untyped(t, r, valid), "JWT is tolerated": typed("JWT"), "the whole media type": typed("application/secevent+JWT")} {
		if status, code := r.deliver(t, token); status != http.StatusAccepted {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	if got := r.stored(t, tenant.DefaultID); got.status != "needs_reauth" || got.version != 2 || r.logged(`"duplicate":true`) != 2 {
		t.Errorf("the refusals have used the event up, or it acted more than once: %+v", got)
	}
}

// remade gives a token's claims another jti.
func remade(t testing.TB, token, jti string) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	c["jti"] = jti
	return c
}

func untyped(t testing.TB, r *rig, claims map[string]any) string {
	t.Helper()
	token, err := r.Google.Sign(claims, "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestDeliveryForm: RFC 8935 §2.1, §2.3: method, media type, size, and the form of an error.
func TestDeliveryForm(t *testing.T) {
	t.Parallel()
	r := start(t)
	good := r.sign(t, r.claims(t, "sessions-revoked"))
	for name, c := range map[string]struct {
		method, contentType, body string
		status                    int
	}{
		"GET":                {http.MethodGet, "", "", 405},
		"PUT":                {http.MethodPut, "application/secevent+jwt", good, 405},
		"OPTIONS":            {http.MethodOptions, "", "", 405},
		"a form":             {http.MethodPost, "application/x-www-form-urlencoded", "token=" + good, 415},
		"no media type":      {http.MethodPost, "", good, 415},
		"a media type alike": {http.MethodPost, "application/secevent+jwt2", good, 415},
		"a megabyte":         {http.MethodPost, "application/secevent+jwt", strings.Repeat("a", 1<<20), 413},
		"media type in capitals, with a parameter": {http.MethodPost, "Application/SecEvent+JWT; charset=utf-8", good, 202},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, r.receiver(), strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.contentType != "" {
			req.Header.Set("Content-Type", c.contentType)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v %v", name, resp.StatusCode, resp.Header, err)
		}
		if c.status == 405 && resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, resp.Header.Get("Allow"))
		}
		if c.status == 202 {
			continue
		}
		var out map[string]string
		if err := json.Unmarshal(body, &out); err != nil || len(out) != 2 || out["err"] != "invalid_request" || out["description"] == "" ||
			resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Content-Language") == "" {
			t.Errorf("%s: %s %v", name, body, resp.Header)
		}
	}
}
