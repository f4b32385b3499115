package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
)

// protocolError is err as an *oauth.Error. Anything that is none of ours is
// doubt: 503 temporarily_unavailable, never a verdict about a client or a
// grant (DESIGN §1.5).
func protocolError(err error) *oauth.Error {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "The request body is too large.", Status: http.StatusRequestEntityTooLarge, Cause: err}
	}
	return oauth.Unavailable(err)
}

// OAuthJSON renders errors as RFC 6749 §5.2 bodies. Every response of such an
// endpoint is no-store.
func OAuthJSON(h httpx.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
		w.Header().Set("Pragma", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := h(w, r)
		if err == nil {
			return
		}
		httpx.Failed(r.Context(), err)
		if httpx.Started(w) {
			return
		}
		e := protocolError(err)
		if e.Code == oauth.InvalidClient {
			// RFC 6749 §5.2: a client that used the Authorization header gets its
			// scheme back.
			if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Basic") {
				w.Header().Set("WWW-Authenticate", `Basic realm="latchkey"`)
			}
		}
		setRetryAfter(w, e)
		WriteJSON(w, e.HTTPStatus(), oauth.ErrorBody{Error: e.Code, ErrorDescription: e.Description})
	})
}

// WriteJSON writes a JSON body with a status.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func setRetryAfter(w http.ResponseWriter, e *oauth.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// Methods refuses every method but the listed ones with 405 and Allow, in the
// endpoint's own error form.
func Methods(h httpx.HandlerFunc, methods ...string) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		for _, m := range methods {
			if r.Method == m || (m == http.MethodGet && r.Method == http.MethodHead) {
				return h(w, r)
			}
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return &oauth.Error{
			Code: oauth.InvalidRequest, Status: http.StatusMethodNotAllowed,
			Description: fmt.Sprintf("This endpoint takes %s only.", strings.Join(methods, " and ")),
		}
	}
}

// RedirectError is an authorization error that goes back to the client. It may
// be made only after client and redirect URI were checked (RFC 6749 §4.1.2.1).
type RedirectError struct {
	RedirectURI string
	State       string
	Issuer      oauth.IssuerURL
	Err         *oauth.Error
	// Ask makes it a page with a link instead: the person has agreed to nothing
	// yet, and nobody vouches for where the redirect leads (RFC 9700 §4.11.2).
	Ask   bool
	Title string // of that page; "": the app's request is wrong
}

func (e *RedirectError) Error() string { return "redirecting: " + e.Err.Error() }

// Unwrap returns the protocol error.
func (e *RedirectError) Unwrap() error { return e.Err }

// Authorize renders a *RedirectError as a redirect with error, state and iss,
// and every other error as a page: a redirect URI that was not checked is
// never followed (RFC 6749 §4.1.2.1).
func Authorize(h httpx.HandlerFunc) http.Handler {
	return Page(func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		var redirect *RedirectError
		if !errors.As(err, &redirect) || httpx.Started(w) {
			return err
		}
		httpx.Failed(r.Context(), err)
		params := url.Values{"error": {string(redirect.Err.Code)}, "error_description": {redirect.Err.Description}}
		if redirect.Ask {
			return renderLeave(w, redirect, params)
		}
		Redirect(w, r, redirect.RedirectURI, redirect.State, redirect.Issuer, params)
		return nil
	})
}

func renderLeave(w http.ResponseWriter, e *RedirectError, params url.Values) error {
	link, err := responseURL(e.RedirectURI, e.State, e.Issuer, params)
	if err != nil {
		return err
	}
	view := struct{ Title, Host, Problem, Link string }{e.Title, link.Host, e.Err.Description, link.String()}
	return Render(w, e.Err.HTTPStatus(), "leave.html", view, nil)
}

// responseParams are the parameters of an authorization response; a registered
// redirect URI cannot smuggle its own (mix-up, RFC 9700 §4.4).
var responseParams = []string{"code", "state", "iss", "error", "error_description", "error_uri", "access_token", "id_token", "response"}

// Redirect sends an authorization response: the redirect URI with params, state
// if there was one, and iss (RFC 9207 §2), by 303 so that no form is posted on
// (RFC 9700 §4.12).
func Redirect(w http.ResponseWriter, r *http.Request, redirectURI, state string, issuer oauth.IssuerURL, params url.Values) {
	u, err := responseURL(redirectURI, state, issuer, params)
	if err != nil { // cannot happen: it was parsed before it was matched
		http.Error(w, "invalid redirect URI", http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusSeeOther)
}

func responseURL(redirectURI, state string, issuer oauth.IssuerURL, params url.Values) (*url.URL, error) {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return nil, fmt.Errorf("building the authorization response: %w", err)
	}
	q := u.Query()
	for _, name := range responseParams {
		q.Del(name)
	}
	for name, values := range params {
		q[name] = values
	}
	if state != "" {
		q.Set("state", state)
	}
	q.Set("iss", issuer.String())
	u.RawQuery = q.Encode()
	return u, nil
}
