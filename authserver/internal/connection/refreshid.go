package connection

import (
	"crypto/sha256"
	"crypto/sha512"

	"latchkey/pkg/secret"
)

// PrefixLen is how many characters of a refresh token Google names it by.
const PrefixLen = 16

// RefreshID finds a stored refresh token by what Google tells of it in a
// token-revoked event, without the token (developers.google.com/identity/
// protocols/risc, "OAuth token identifiers"). Neither value gives the token
// away. The zero RefreshID finds nothing.
type RefreshID struct {
	Hash   []byte // SHA-512 of the SHA-512 of the token, 64 bytes
	Prefix []byte // SHA-256 of its first PrefixLen characters, 32 bytes
}

// IdentifyRefresh returns the identifiers of a refresh token, none of an empty
// one.
func IdentifyRefresh(token secret.Text) RefreshID {
	if token.Empty() {
		return RefreshID{}
	}
	value := token.Reveal()
	once := sha512.Sum512([]byte(value))
	twice := sha512.Sum512(once[:])
	id := RefreshID{Hash: twice[:]}
	if len(value) >= PrefixLen {
		id.Prefix = PrefixID(value[:PrefixLen])
	}
	return id
}

// PrefixID is the identifier of a prefix as Google sends it.
func PrefixID(prefix string) []byte {
	sum := sha256.Sum256([]byte(prefix))
	return sum[:]
}
