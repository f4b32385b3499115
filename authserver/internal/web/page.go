package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/ratelimit"
)

//go:embed pages/*.html pages/style.css
var files embed.FS

// style is inlined into every page and allowed by its hash: no page loads
// anything.
var style, styleHash = func() (template.CSS, string) {
	b, err := files.ReadFile("pages/style.css")
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return template.CSS(b), "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

var pages = template.Must(template.New("").Funcs(template.FuncMap{"style": func() template.CSS { return style }}).ParseFS(files, "pages/*.html"))

// PageError is an error with words for a person. Anything else that reaches
// Page is shown as a plain apology with the request id.
type PageError struct {
	Status  int    // HTTP status
	Title   string // what happened
	Advice  string // what to do next
	Account string // path of the person's own page, where the page leads to it
	Cause   error  // for the log
}

func (e *PageError) Error() string {
	if e.Cause != nil {
		return e.Title + ": " + e.Cause.Error()
	}
	return e.Title
}

// Unwrap returns the cause.
func (e *PageError) Unwrap() error { return e.Cause }

// Page renders errors as HTML pages and sets the headers every page has.
func Page(h httpx.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pageHeaders(w.Header(), nil)
		err := h(w, r)
		if err == nil {
			return
		}
		httpx.Failed(r.Context(), err)
		if httpx.Started(w) {
			return
		}
		var page *PageError
		if !errors.As(err, &page) {
			e := protocolError(err)
			setRetryAfter(w, e)
			page = describe(e)
		}
		_ = Render(w, page.Status, "error.html", struct{ Title, Advice, Account, RequestID string }{page.Title, page.Advice, page.Account, httpx.RequestID(r.Context())}, nil)
	})
}

func describe(e *oauth.Error) *PageError {
	page := &PageError{Status: e.HTTPStatus(), Title: "This request cannot be completed", Advice: e.Description}
	switch {
	case page.Status == http.StatusTooManyRequests:
		page.Title, page.Advice = "Too many requests came from your network", fmt.Sprintf("Nothing was changed. Wait %d s, then load this page again.", ratelimit.Seconds(e.RetryAfter))
	case page.Status >= http.StatusInternalServerError:
		page.Title, page.Advice = "We cannot answer right now", "Nothing was changed. Wait a moment, then try again."
	}
	return page
}

// Render writes a page. formTargets are the origins, besides this one, to which
// a form on the page may lead, redirects included (CSP form-action).
func Render(w http.ResponseWriter, status int, name string, data any, formTargets []string) error {
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	pageHeaders(w.Header(), formTargets)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
	return nil
}

func pageHeaders(h http.Header, formTargets []string) {
	action := strings.Join(append([]string{"'self'"}, formTargets...), " ")
	// RFC 9700 §4.16, OAuth 2.1 §7.10: no framing; nothing is loaded, nothing runs.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+"; form-action "+action+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
