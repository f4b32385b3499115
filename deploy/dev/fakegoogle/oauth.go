package fakegoogle

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

type grantKey struct{ client, sub string }

// consented is what a user has allowed a client.
type consented struct {
	scopes  map[string]bool
	refresh []string // live refresh tokens
}

type code struct {
	client, redirectURI, challenge, nonce string
	user                                  *User
	scopes                                []string
	offline, fresh, used                  bool
	expires                               time.Time
}

type accessToken struct {
	client  string
	user    *User
	scopes  []string
	expires time.Time
	revoked bool
}

func (t *accessToken) allows(anyOf []string) bool {
	for _, s := range anyOf {
		if slices.Contains(t.scopes, s) {
			return true
		}
	}
	return false
}

type refreshToken struct {
	key     grantKey
	expires time.Time // zero: never
}

var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}fieldset{border:1px solid #8888;border-radius:.5rem;margin:1rem 0}label{display:block;padding:.4rem 0}button{font:inherit;padding:.5rem 1.2rem;margin-right:.5rem}</style></head><body><p><small>Stand-in for Google: for development only</small></p>{{end}}
{{define "choose"}}{{template "head" "Choose an account"}}<h1>Choose an account</h1><form method="post" action="/o/oauth2/v2/choose"><input type="hidden" name="query" value="{{.Query}}">
{{range .Users}}<p><button name="account" value="{{.Email}}">{{.Name}} ({{.Email}})</button></p>{{end}}</form></body></html>{{end}}
{{define "consent"}}{{template "head" "Consent"}}<h1>{{.Client}} wants access</h1><p>Signed in as {{.Account}}</p><form method="post" action="/o/oauth2/v2/consent"><input type="hidden" name="query" value="{{.Query}}"><input type="hidden" name="account" value="{{.Account}}">
<fieldset><legend>Select what the app can access</legend>{{range .Scopes}}<label><input type="checkbox" name="scope" value="{{.}}" checked> {{.}}</label>{{end}}</fieldset>
<button name="decision" value="deny">Cancel</button><button name="decision" value="approve">Continue</button></form></body></html>{{end}}
{{define "error"}}{{template "head" "Error 400"}}<h1>Access blocked</h1><p>Error 400: {{.}}</p></body></html>{{end}}
`))

func page(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data)
}

// check validates what must be a page, not a redirect, when it is wrong.
func (s *Server) check(w http.ResponseWriter, q url.Values) bool {
	s.mu.Lock()
	c, ok := s.clients[q.Get("client_id")]
	s.mu.Unlock()
	switch {
	case !ok:
		page(w, 401, "error", "invalid_client")
	case !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")):
		page(w, 400, "error", "redirect_uri_mismatch")
	case q.Get("response_type") != "code", q.Get("scope") == "":
		page(w, 400, "error", "invalid_request")
	case q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		page(w, 400, "error", "invalid_request")
	default:
		return true
	}
	return false
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !s.check(w, q) {
		return
	}
	if u := s.userByEmail(q.Get("login_hint")); u != nil {
		s.afterAccount(w, r, q, u)
		return
	}
	s.mu.Lock()
	users := make([]*User, 0, len(s.users))
	for _, u := range s.users {
		users = append(users, u)
	}
	s.mu.Unlock()
	slices.SortFunc(users, func(a, b *User) int { return strings.Compare(a.Email, b.Email) })
	page(w, 200, "choose", map[string]any{"Query": r.URL.RawQuery, "Users": users})
}

func (s *Server) userByEmail(email string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.Email == email {
			return u
		}
	}
	return nil
}

// resume reads the request that a form carries.
func (s *Server) resume(w http.ResponseWriter, r *http.Request) (url.Values, *User) {
	q, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil || !s.check(w, q) {
		return nil, nil
	}
	u := s.userByEmail(r.PostFormValue("account"))
	if u == nil {
		page(w, 400, "error", "unknown account")
		return nil, nil
	}
	return q, u
}

func (s *Server) choose(w http.ResponseWriter, r *http.Request) {
	if q, u := s.resume(w, r); u != nil {
		s.afterAccount(w, r, q, u)
	}
}

// afterAccount shows the consent page, unless the user has allowed everything
// before and the client does not ask for the page: then Google goes straight
// back, without a refresh token.
func (s *Server) afterAccount(w http.ResponseWriter, r *http.Request, q url.Values, u *User) {
	scopes := strings.Fields(q.Get("scope"))
	s.mu.Lock()
	g := s.grants[grantKey{q.Get("client_id"), u.Sub}]
	all := g != nil
	for _, sc := range scopes {
		all = all && g.scopes[sc]
	}
	s.mu.Unlock()
	if all && !slices.Contains(strings.Fields(q.Get("prompt")), "consent") {
		s.finish(w, r, q, u, scopes, false)
		return
	}
	page(w, 200, "consent", map[string]any{"Client": q.Get("client_id"), "Account": u.Email, "Query": q.Encode(), "Scopes": scopes})
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	q, u := s.resume(w, r)
	if u == nil {
		return
	}
	if r.PostFormValue("decision") != "approve" {
		redirect(w, r, q, url.Values{"error": {"access_denied"}})
		return
	}
	var scopes []string
	for _, sc := range strings.Fields(q.Get("scope")) {
		// The sign-in scopes have no checkbox at Google.
		if slices.Contains(r.PostForm["scope"], sc) || sc == "openid" || sc == "email" || sc == "profile" {
			scopes = append(scopes, sc)
		}
	}
	s.finish(w, r, q, u, scopes, true)
}

func (s *Server) finish(w http.ResponseWriter, r *http.Request, q url.Values, u *User, scopes []string, fresh bool) {
	key := grantKey{q.Get("client_id"), u.Sub}
	s.mu.Lock()
	g := s.grants[key]
	if g == nil {
		g = &consented{scopes: map[string]bool{}}
		s.grants[key] = g
	}
	for _, sc := range scopes {
		g.scopes[sc] = true
	}
	if q.Get("include_granted_scopes") == "true" {
		scopes = nil
		for sc := range g.scopes {
			scopes = append(scopes, sc)
		}
		slices.Sort(scopes)
	}
	value := "4/0A" + rand.Text()
	s.codes[value] = &code{
		client: key.client, redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), nonce: q.Get("nonce"), user: u, scopes: scopes,
		offline: q.Get("access_type") == "offline", fresh: fresh, expires: s.now().Add(10 * time.Minute),
	}
	s.mu.Unlock()
	redirect(w, r, q, url.Values{"code": {value}, "scope": {strings.Join(scopes, " ")}, "authuser": {"0"}})
}

func redirect(w http.ResponseWriter, r *http.Request, q, params url.Values) {
	u, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		page(w, 400, "error", "invalid_request")
		return
	}
	if q.Has("state") {
		params.Set("state", q.Get("state"))
	}
	u.RawQuery = params.Encode()
	http.Redirect(w, r, u.String(), http.StatusFound)
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	fault := s.take(r.URL.Path, func(f *Fault) bool {
		return f.Nonce != "" || f.Audience != "" || f.Issuer != "" || f.Unverified || f.NoRefresh
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.clients[id]
	if !known || c.Secret != secret {
		tokenError(w, 401, "invalid_client", "")
		return
	}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		s.redeem(w, r, c, fault)
	case "refresh_token":
		s.renew(w, r, c)
	default:
		tokenError(w, 400, "unsupported_grant_type", "")
	}
}

func (s *Server) redeem(w http.ResponseWriter, r *http.Request, c Client, fault *Fault) {
	cd := s.codes[r.PostFormValue("code")]
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case cd == nil, cd.used, cd.client != c.ID, cd.redirectURI != r.PostFormValue("redirect_uri"), !s.now().Before(cd.expires),
		cd.challenge != "" && cd.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		tokenError(w, 400, "invalid_grant", "")
		return
	}
	cd.used = true
	out := s.issue(c, cd.user, cd.scopes)
	key := grantKey{c.ID, cd.user.Sub}
	// A refresh token only for offline access and a fresh consent.
	if cd.offline && cd.fresh && (fault == nil || !fault.NoRefresh) {
		value := "1//0" + rand.Text()
		t := &refreshToken{key: key}
		if c.Testing > 0 {
			t.expires = s.now().Add(c.Testing)
			out["refresh_token_expires_in"] = int(c.Testing / time.Second)
		}
		s.refresh[value] = t
		g := s.grants[key]
		g.refresh = append(g.refresh, value)
		out["refresh_token"] = value
	}
	if slices.Contains(cd.scopes, "openid") {
		id, err := s.idToken(c, cd, fault)
		if err != nil {
			tokenError(w, 500, "internal_failure", "")
			return
		}
		out["id_token"] = id
	}
	writeJSON(w, 200, out)
}

func (s *Server) renew(w http.ResponseWriter, r *http.Request, c Client) {
	t := s.refresh[r.PostFormValue("refresh_token")]
	if t == nil || (!t.expires.IsZero() && !s.now().Before(t.expires)) {
		tokenError(w, 400, "invalid_grant", "")
		return
	}
	if t.key.client != c.ID {
		tokenError(w, 401, "unauthorized_client", "")
		return
	}
	g := s.grants[t.key]
	var scopes []string
	for sc := range g.scopes {
		scopes = append(scopes, sc)
	}
	slices.Sort(scopes)
	if asked := strings.Fields(r.PostFormValue("scope")); len(asked) > 0 { // RFC 6749 §6: less, never more
		for _, sc := range asked {
			if !slices.Contains(scopes, sc) {
				tokenError(w, 400, "invalid_scope", "")
				return
			}
		}
		scopes = asked
	}
	s.counters["refresh"]++
	writeJSON(w, 200, s.issue(c, s.users[t.key.sub], scopes))
}

// issue makes an access token. s.mu is held.
func (s *Server) issue(c Client, u *User, scopes []string) map[string]any {
	value := "ya29." + rand.Text() + rand.Text()
	s.access[value] = &accessToken{client: c.ID, user: u, scopes: scopes, expires: s.now().Add(s.lifetime)}
	return map[string]any{"access_token": value, "expires_in": int(s.lifetime / time.Second), "scope": strings.Join(scopes, " "), "token_type": "Bearer"}
}

func (s *Server) idToken(c Client, cd *code, fault *Fault) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: "fake-1"}}, nil)
	if err != nil {
		return "", err
	}
	claims := map[string]any{
		"iss": s.issuer, "aud": c.ID, "azp": c.ID, "sub": cd.user.Sub, "email": cd.user.Email, "email_verified": true,
		"iat": s.now().Unix(), "exp": s.now().Add(time.Hour).Unix(), "name": cd.user.Name,
	}
	if cd.user.HostedDomain != "" {
		claims["hd"] = cd.user.HostedDomain
	}
	if cd.nonce != "" {
		claims["nonce"] = cd.nonce
	}
	if fault != nil {
		for name, v := range map[string]string{"nonce": fault.Nonce, "aud": fault.Audience, "iss": fault.Issuer} {
			if v != "" {
				claims[name] = v
			}
		}
		if fault.Unverified {
			claims["email_verified"] = false
		}
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	value := r.FormValue("token")
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[value]; t != nil {
		s.end(t.key, s.grants[t.key])
		writeJSON(w, 200, map[string]any{})
		return
	}
	if t := s.access[value]; t != nil && !t.revoked {
		key := grantKey{t.client, t.user.Sub}
		s.end(key, s.grants[key])
		writeJSON(w, 200, map[string]any{})
		return
	}
	writeJSON(w, 400, map[string]any{"error": "invalid_token", "error_description": "Token expired or revoked"})
}

// end ends a grant: consent, refresh tokens and access tokens. s.mu is held.
func (s *Server) end(key grantKey, g *consented) {
	if g == nil {
		return
	}
	for _, v := range g.refresh {
		delete(s.refresh, v)
	}
	for _, t := range s.access {
		if t.client == key.client && t.user.Sub == key.sub {
			t.revoked = true
		}
	}
	delete(s.grants, key)
}

func (s *Server) certs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &s.key.PublicKey, KeyID: "fake-1", Algorithm: "RS256", Use: "sig"}}})
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.access[bearer(r)]
	if t == nil || t.revoked || !s.now().Before(t.expires) || !t.allows([]string{"openid", "email", "profile"}) {
		writeJSON(w, 401, map[string]any{"error": "invalid_request", "error_description": "Invalid Credentials"})
		return
	}
	writeJSON(w, 200, map[string]any{"sub": t.user.Sub, "email": t.user.Email, "email_verified": true, "name": t.user.Name, "hd": t.user.HostedDomain})
}

func tokenError(w http.ResponseWriter, status int, code, subtype string) {
	description := map[string]string{"invalid_grant": "Bad Request", "invalid_client": "The OAuth client was not found.", "unauthorized_client": "Unauthorized"}[code]
	body := map[string]any{"error": code, "error_description": description}
	if subtype != "" {
		body["error_subtype"] = subtype
	}
	if status >= 500 && code == "" {
		body = map[string]any{"error": "internal_failure", "error_description": strconv.Itoa(status)}
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
