package upload

import (
	"bytes"
	"html/template"
	"net/http"

	"latchkey/resourceserver/internal/signedlink"
)

// form is sent to where it came from, the link. The sender of a link could be somebody
// else than the person who opens it, so it says whose Drive the file goes to.
var form = template.Must(template.New("").Parse(`<p>It goes to the Google Drive of <strong><bdi>{{.Email}}</bdi></strong> as <strong><bdi>{{.Name}}</bdi></strong> ({{.Type}}). Go on only if you asked for this and that is your account.</p>
<form method="post" enctype="multipart/form-data">
<p><label>File (at most {{.Most}} MB): <input type="file" name="file" required></label></p>
<p><button>Upload</button></p>
</form>
<p>The link makes one file, and works for a few minutes. If you did not want the file, delete it in Google Drive.</p>`))

// show writes the page with the form.
func show(w http.ResponseWriter, t Target) {
	var b bytes.Buffer
	if err := form.Execute(&b, struct {
		Target
		Most int
	}{t, MaxSize >> 20}); err != nil {
		panic(err) // a buffer and constants
	}
	signedlink.Page{Status: http.StatusOK, Title: "Upload a file", Body: template.HTML(b.String()), Form: true}.Write(w) //nolint:gosec // of the template
}
