package secret

import (
	"crypto/rand"
	"encoding/base64"
)

const randomSize = 32

// Random is 256 bits of chance in base64url, 43 characters.
func Random() string {
	var b [randomSize]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// IsRandom reports whether s is spelled as Random spells: whatever else comes
// from outside in its place need not be looked up.
func IsRandom(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == randomSize && len(s) == base64.RawURLEncoding.EncodedLen(randomSize) // no line breaks, which the decoder skips
}
