package upload

import (
	"context"
	"io"
	"time"

	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/signedlink"
)

// Path is where links lead, on the origin of the resource that made them.
const Path = "/upload"

// MaxSize is the largest file that is taken, in bytes.
const MaxSize = 100 << 20

// Piece is how much of a file is held on its way, in bytes; Google wants a multiple
// of 256 KiB.
const Piece = 2 << 20

// Target is what a link is for.
type Target struct {
	FileID string `json:"i"`           // of the file to be
	Name   string `json:"n"`           // of the file to be
	Type   string `json:"m"`           // media type
	Folder string `json:"p,omitempty"` // id; "" is the person's own root
	Email  string `json:"e"`           // of the account, for the person who opens the link
}

// Links makes links for uploads.
type Links = signedlink.Links[Target]

// NewLinks derives the keys; now may be nil.
func NewLinks(k *seal.Keys, now func() time.Time) (*Links, error) {
	return signedlink.New[Target](k, "upload link", Path, now)
}

// Source makes the file of a link within a call of its tool, reading body to its
// end and holding no more than a Piece of it. An error of body means that there
// must be no file. Errors are *tool.Error: a conflict if the link was used before.
type Source func(ctx context.Context, account string, t Target, body io.Reader) error
