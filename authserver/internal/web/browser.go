package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"latchkey/pkg/oauth"
)

// BrowserCookie binds forms to the browser they were rendered for.
const BrowserCookie = "latchkey-csrf"

const secretSize = 32

// NewSecret is 256 bits of chance, base64url.
func NewSecret() string {
	var b [secretSize]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// IsSecret reports whether s is one spelling of 256 bits, as NewSecret makes
// them.
func IsSecret(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == secretSize && len(s) == base64.RawURLEncoding.EncodedLen(secretSize) // no line breaks, which the decoder skips
}

// BrowserSecret is the browser's secret for forms: it keeps the one it has, so
// that two renders of a page are both valid.
func BrowserSecret(r *http.Request, issuer oauth.IssuerURL) string {
	if browser := Cookie(r, issuer, BrowserCookie); IsSecret(browser) {
		return browser
	}
	return NewSecret()
}

// FormToken is the token of a form that belongs to a secret in a cookie.
func FormToken(secret, form string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("latchkey form " + form))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ValidFormToken checks a form's token. Nothing belongs to an empty secret.
func ValidFormToken(secret, form, token string) bool {
	return secret != "" && token != "" && hmac.Equal([]byte(token), []byte(FormToken(secret, form)))
}
