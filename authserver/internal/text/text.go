package text

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Valid reports whether s is text.
func Valid(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// BadParameter returns the name of a parameter that is no text, printable.
func BadParameter(values url.Values) (name string, found bool) {
	for name, given := range values {
		if !Valid(name) || slices.ContainsFunc(given, func(s string) bool { return !Valid(s) }) {
			return Printable(name), true
		}
	}
	return "", false
}

const maxPrintable = 64

// Printable keeps what may stand in an error description (RFC 6749 §5.2), at most
// 64 bytes.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), maxPrintable)])
}
