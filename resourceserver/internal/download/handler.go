package download

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/signedlink"
)

// Path is where links lead, on the origin of the resource that made them.
const Path = "/download"

const (
	// perPerson bounds the downloads of one person in one replica.
	perPerson = 3
	// maxDuration bounds one download; the listener's write timeout is for answers.
	maxDuration = 5 * time.Minute
	maxName     = 150
)

// Links makes links to files, by the source's own name of the file.
type Links = signedlink.Links[string]

// NewLinks derives the keys; now may be nil.
func NewLinks(k *seal.Keys, now func() time.Time) (*Links, error) {
	return signedlink.New[string](k, "download link", Path, now)
}

// File is what a source opens. The reader of the handler closes Body.
type File struct {
	Name string // as others named it
	Body io.ReadCloser
}

// Source opens a file within a call of its tool; errors are *tool.Error.
type Source func(ctx context.Context, account, file string) (*File, error)

// Handler serves links.
type Handler struct {
	door    *signedlink.Door[string]
	sources map[string]Source
}

// New serves the links of tools that have a source, by the tool's name.
func New(links *Links, rules signedlink.Rules, sources map[string]Source) (*Handler, error) {
	door, err := signedlink.NewDoor(links, rules, "download", perPerson, func(tool string) bool { return sources[tool] != nil })
	return &Handler{door, sources}, err
}

// ServeHTTP streams the file of a link. A link is no cookie: no page can make a
// browser send one that it does not know.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signedlink.Headers(w)
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		signedlink.Say(w, r, http.StatusMethodNotAllowed, "A download link is opened with GET.")
		return
	}
	if refusal := h.door.Use(r, maxDuration, func(ctx context.Context, v signedlink.Visit[string]) error {
		return h.stream(ctx, w, v)
	}); refusal != nil {
		refusal.Say(w, r)
	}
}

func (h *Handler) stream(ctx context.Context, w http.ResponseWriter, v signedlink.Visit[string]) error {
	file, err := h.sources[v.Tool.Name](ctx, v.Account, v.Target)
	if err != nil {
		return err
	}
	defer func() { _ = file.Body.Close() }()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxDuration))
	// The sender's word for the type is not repeated: the file is for saving.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", disposition(file.Name))
	if _, err := io.Copy(w, file.Body); err != nil {
		return &signedlink.Cut{Err: err}
	}
	return nil
}

// disposition names the file (RFC 6266), without a path and without what could
// hide its ending.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|%`, r) {
			return '_'
		}
		return r
	}, content.Line(name, maxName))
	if name = strings.Trim(name, ". "); name == "" {
		name = "download"
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}
