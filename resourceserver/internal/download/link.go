package download

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"

	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/tool"
)

// Path is where links lead, on the origin of the resource that made them.
const Path = "/download"

// Lifetime is the most a link lives; it ends with its access token before that.
const Lifetime = 15 * time.Minute

// link is what is sealed.
type link struct {
	Token    string `json:"k"` // the MCP access token
	Resource string `json:"r"` // its audience
	Tool     string `json:"t"` // which source reads the file
	Account  string `json:"a"` // handle of the account
	File     string `json:"f"` // the source's own name of the file
}

// File is what a source opens. The reader of the handler closes Body.
type File struct {
	Name string // as others named it
	Body io.ReadCloser
}

// Source opens a file within a call of its tool; errors are *tool.Error.
type Source func(ctx context.Context, account, file string) (*File, error)

// Links makes links. It is safe for concurrent use.
type Links struct {
	box *seal.Box[link]
	now func() time.Time
}

// NewLinks derives the keys; now may be nil.
func NewLinks(k *seal.Keys, now func() time.Time) (*Links, error) {
	if k == nil {
		return nil, errors.New("download links need keys")
	}
	if now == nil {
		now = time.Now
	}
	box, err := seal.NewBox[link](k, "download link", now)
	if err != nil {
		return nil, err
	}
	return &Links{box, now}, nil
}

// Make returns a link to a file of an account, for the person of the running
// call, and its end.
func (l *Links) Make(ctx context.Context, account, file string) (string, time.Time, error) {
	p, t := bearer.From(ctx), tool.Current(ctx)
	if p == nil || t == nil {
		return "", time.Time{}, errors.New("making a download link outside a tool call")
	}
	until := l.now().Add(Lifetime)
	if p.Expires.Before(until) {
		until = p.Expires
	}
	sealed, err := l.box.Seal(link{p.Token.Reveal(), p.Resource.String(), t.Name, account, file}, until)
	if err != nil {
		return "", time.Time{}, err
	}
	return p.Resource.Origin() + Path + "?" + url.Values{"link": {sealed}}.Encode(), until, nil
}

func (l link) token() secret.Text { return secret.NewText(l.Token) }
