package content

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"latchkey/resourceserver/internal/tool"
)

// Cursor is a place in a text that is read in parts. It knows the text by a
// digest: parts of two versions never make one.
type Cursor struct {
	Offset int // in characters
	digest string
}

// NextCursor names a place in a text.
func NextCursor(text string, offset int) string { return digest(text) + "." + strconv.Itoa(offset) }

// ParseCursor reads what NextCursor wrote, "" as the beginning of any text.
// Errors are *tool.Error.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	d, offset, ok := strings.Cut(s, ".")
	n, err := strconv.Atoi(offset)
	if !ok || err != nil || n < 0 || len(d) != digestLength {
		return Cursor{}, tool.Invalid("page_token is not one that this tool returned.")
	}
	return Cursor{n, d}, nil
}

// Fits reports whether the cursor was made for this text.
func (c Cursor) Fits(text string) bool { return c.digest == "" || c.digest == digest(text) }

const digestLength = 16

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digestLength]
}
