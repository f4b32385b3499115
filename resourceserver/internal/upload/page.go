package upload

import (
	"bytes"
	"html/template"
	"net/http"
)

// page is the form. It has no script, and no address in it: it is sent to where it
// came from, the link. The sender of a link could be somebody else than the person
// who opens it, so it says whose Drive the file goes to.
var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Upload a file</title></head>
<body>
<main>
<h1>Upload a file</h1>
<p>It goes to the Google Drive of <strong>{{.Email}}</strong> as <strong>{{.Name}}</strong> ({{.Type}}). Go on only if you asked for this and that is your account.</p>
<form method="post" enctype="multipart/form-data">
<p><label>File (at most {{.Most}} MB): <input type="file" name="file" required></label></p>
<p><button>Upload</button></p>
</form>
<p>The link works once and for a few minutes.</p>
</main>
</body>
</html>
`))

// show writes the form. Its policy allows nothing but to send it here.
func show(w http.ResponseWriter, t Target) {
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		Target
		Most int
	}{t, MaxSize >> 20}); err != nil {
		panic(err) // a buffer and constants
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}
