package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/signedlink"
	"latchkey/resourceserver/internal/tool"
)

const (
	// perPerson bounds the uploads of one person in one replica.
	perPerson = 1
	// maxDuration bounds one upload: MaxSize at 1.4 Mbit/s.
	maxDuration = 10 * time.Minute
	// maxSilence is how long nothing may arrive.
	maxSilence = 30 * time.Second
	// maxAnswer bounds the writing of an answer.
	maxAnswer = 30 * time.Second
	// maxForm is what a form may have around its file, in bytes.
	maxForm = 4 << 10
)

// Handler serves links.
type Handler struct {
	door    *signedlink.Door[Target]
	sources map[string]Source
}

// New serves the links of tools that have a source, by the tool's name.
func New(links *Links, rules signedlink.Rules, sources map[string]Source) (*Handler, error) {
	door, err := signedlink.NewDoor(links, rules, "upload", perPerson, func(tool string) bool { return sources[tool] != nil })
	return &Handler{door, sources}, err
}

// ServeHTTP takes the file of a link, or shows the form for it. A link is no
// cookie: no page can make a browser send one that it does not know, and there is
// no CORS.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signedlink.Headers(w)
	switch r.Method {
	case http.MethodGet:
		v, refusal := h.door.Look(r)
		if refusal != nil {
			refusal.Say(w, r)
			return
		}
		show(w, v.Target)
		return
	case http.MethodPut, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, PUT, POST")
		signedlink.Say(w, r, http.StatusMethodNotAllowed, "An upload link is opened in a browser, or takes the file by PUT.")
		return
	}
	if refusal := h.accept(r); refusal != nil {
		w.Header().Set("Connection", "close") // the body is not read
		refusal.Say(w, r)
		return
	}
	var done string
	refusal := h.door.Use(r, maxDuration, func(ctx context.Context, v signedlink.Visit[Target]) error {
		size, err := h.take(ctx, w, r, v)
		done = fmt.Sprintf("Uploaded %s (%s) to the Google Drive of %s.", v.Target.Name, content.Count(size, "byte", "bytes"), v.Target.Email)
		return err
	})
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxAnswer))
	if refusal != nil {
		w.Header().Set("Connection", "close")
		refusal.Say(w, r)
		return
	}
	signedlink.Say(w, r, http.StatusCreated, done)
}

// accept looks at what a request says of its body before anything is read.
func (h *Handler) accept(r *http.Request) *signedlink.Refusal {
	most := int64(MaxSize)
	if r.Method == http.MethodPost {
		most += maxForm
	}
	switch encoding := r.Header.Get("Content-Encoding"); {
	case r.ContentLength < 0: // RFC 9110 §15.5.12
		return &signedlink.Refusal{Status: http.StatusLengthRequired, Text: "Say how long the file is (Content-Length)."}
	case r.ContentLength > most:
		return &signedlink.Refusal{Status: http.StatusRequestEntityTooLarge, Text: tooLarge}
	case encoding != "" && !strings.EqualFold(encoding, "identity"), r.Header.Get("Content-Range") != "": // RFC 9110 §14.4: a part must not pass for the whole
		return &signedlink.Refusal{Status: http.StatusBadRequest, Text: "Send the whole file as it is, without Content-Encoding or Content-Range."}
	}
	return nil
}

var tooLarge = fmt.Sprintf("The file is larger than the %d MB that are taken here. Upload it in Google Drive.", MaxSize>>20)

// take hands the file to the link's source and returns its size.
func (h *Handler) take(ctx context.Context, w http.ResponseWriter, r *http.Request, v signedlink.Visit[Target]) (int64, error) {
	end := time.Now().Add(maxDuration)
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(end.Add(maxAnswer))
	_ = control.SetReadDeadline(time.Now().Add(maxSilence))
	file, err := fileOf(r)
	if err != nil {
		return 0, unreadable(err)
	}
	b := &body{file: file, control: control, end: end}
	err = h.sources[v.Tool.Name](ctx, v.Account, v.Target, b)
	if b.err != nil {
		err = unreadable(b.err)
	}
	return b.size, err
}

// unreadable is the error of a body that did not come whole.
func unreadable(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return &tool.Error{Code: tool.CodeTooLarge, Message: tooLarge + " Nothing was uploaded."}
	case errors.Is(err, errNoFile):
		return tool.Invalid("Choose one file. Nothing was uploaded.")
	case errors.Is(err, errForm):
		return tool.Invalid("The form cannot be read: perhaps the file's name has characters that no name may have. Rename the file and try again. Nothing was uploaded.")
	}
	return &tool.Error{Code: tool.CodeUnavailable, Message: "The file did not arrive whole. Nothing was uploaded; try again.", Retryable: true, Cause: tool.Plain(err)}
}
