package signedlink

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"strings"
)

// style makes a page readable on a telephone and in the dark; its policy allows it by
// its hash.
const style = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:33rem;margin:0 auto;padding:1.5rem 1rem;overflow-wrap:anywhere}input,button{font:inherit;max-width:100%}button{min-height:2.75rem;padding:.5rem 1.4rem}`

var styleHash = func() string {
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

var frame = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><title>{{.Title}}</title><style>{{.Style}}</style></head>
<body>
<main>
<h1>{{.Title}}</h1>
{{.Body}}
</main>
</body>
</html>
`))

// Page is what a person sees at a link in a browser. It has no script, and no address
// but its own.
type Page struct {
	Status int
	Title  string
	Body   template.HTML // made by a template
	Form   bool          // it has one, which is sent to where the page came from
}

// Write answers with the page. Its policy allows nothing but its style, and its form.
func (p Page) Write(w http.ResponseWriter) {
	var b bytes.Buffer
	if err := frame.Execute(&b, struct {
		Page
		Style template.CSS
	}{p, style}); err != nil {
		panic(err) // a buffer and constants
	}
	sent := "'none'"
	if p.Form {
		sent = "'self'"
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash+"'; form-action "+sent+"; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_, _ = w.Write(b.Bytes())
}

var sentence = template.Must(template.New("").Parse(`<p>{{.}}</p>`))

// Say answers with a text: as a page to a browser, else plain.
func Say(w http.ResponseWriter, to *http.Request, status int, text string) {
	if browser(to) {
		title := "Done"
		if status >= http.StatusBadRequest {
			title = "This did not work"
		}
		var b strings.Builder
		if err := sentence.Execute(&b, text); err != nil {
			panic(err) // a builder and constants
		}
		Page{Status: status, Title: title, Body: template.HTML(b.String())}.Write(w) //nolint:gosec // of the template
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

// browser reports whether a request asks for HTML by its name (RFC 9110 §12.5.1), which
// programs that take anything do not.
func browser(r *http.Request) bool {
	for _, accepted := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(accepted, ",") {
			kind, params, err := mime.ParseMediaType(one)
			if err == nil && kind == "text/html" && (params["q"] == "" || strings.Trim(params["q"], "0.") != "") {
				return true
			}
		}
	}
	return false
}
