package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
)

// style makes the page readable on a telephone and in the dark; the page's policy
// allows it by its hash.
const style = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:33rem;margin:0 auto;padding:1.5rem 1rem;overflow-wrap:anywhere}input,button{font:inherit;max-width:100%}button{min-height:2.75rem;padding:.5rem 1.4rem}`

var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// page is the form. It has no script, and no address in it: it is sent to where it
// came from, the link. The sender of a link could be somebody else than the person
// who opens it, so it says whose Drive the file goes to.
var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><title>Upload a file</title><style>{{.Style}}</style></head>
<body>
<main>
<h1>Upload a file</h1>
<p>It goes to the Google Drive of <strong><bdi>{{.Email}}</bdi></strong> as <strong><bdi>{{.Name}}</bdi></strong> ({{.Type}}). Go on only if you asked for this and that is your account.</p>
<form method="post" enctype="multipart/form-data">
<p><label>File (at most {{.Most}} MB): <input type="file" name="file" required></label></p>
<p><button>Upload</button></p>
</form>
<p>The link makes one file, and works for a few minutes. If you did not want the file, delete it in Google Drive.</p>
</main>
</body>
</html>
`))

// show writes the form. Its policy allows nothing but to send it here.
func show(w http.ResponseWriter, t Target) {
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		Target
		Most  int
		Style template.CSS
	}{t, MaxSize >> 20, style}); err != nil {
		panic(err) // a buffer and constants
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}
