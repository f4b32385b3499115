package web

import (
	"net/http"
	"time"

	"latchkey/pkg/oauth"
)

// CookieName is the name a cookie has at an issuer: with the __Host- prefix,
// which browsers accept only with Secure, Path=/ and no Domain; without it on
// plain http, which is loopback development.
func CookieName(issuer oauth.IssuerURL, name string) string {
	if issuer.Secure() {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie that only this origin's server reads. Lax, because
// Google's redirect back is a cross-site navigation.
func SetCookie(w http.ResponseWriter, issuer oauth.IssuerURL, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: CookieName(issuer, name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: issuer.Secure(), SameSite: http.SameSiteLaxMode,
	})
}

// ClearCookie ends a cookie.
func ClearCookie(w http.ResponseWriter, issuer oauth.IssuerURL, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: CookieName(issuer, name), Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: issuer.Secure(), SameSite: http.SameSiteLaxMode,
	})
}

// Cookie returns a cookie's value, "" when there is none.
func Cookie(r *http.Request, issuer oauth.IssuerURL, name string) string {
	c, err := r.Cookie(CookieName(issuer, name))
	if err != nil {
		return ""
	}
	return c.Value
}
