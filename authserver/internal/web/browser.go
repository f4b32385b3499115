package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// BrowserCookie binds forms to the browser they were rendered for.
const BrowserCookie = "latchkey-csrf"

// BrowserSecret is the browser's secret for forms: it keeps the one it has, so
// that two renders of a page are both valid.
func BrowserSecret(r *http.Request, issuer oauth.IssuerURL) string {
	if browser := Cookie(r, issuer, BrowserCookie); secret.IsRandom(browser) {
		return browser
	}
	return secret.Random()
}

// FormToken is the token of a form that belongs to a secret in a cookie.
func FormToken(key, form string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("latchkey form " + form))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ValidFormToken checks a form's token. Nothing belongs to an empty secret.
func ValidFormToken(key, form, token string) bool {
	return key != "" && token != "" && hmac.Equal([]byte(token), []byte(FormToken(key, form)))
}
