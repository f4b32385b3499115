package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Names gives people names for others: the same at every replica, telling nothing
// about who it is, and not to be found by trying to whoever lacks the key. Another
// purpose gives other names. It is safe for concurrent use.
type Names struct{ key []byte }

// NewNames derives the names of a purpose.
func NewNames(k *Keys, purpose string) (*Names, error) {
	if purpose == "" {
		return nil, errors.New("names need a purpose")
	}
	key, err := hkdf.Key(sha256.New, k.secret, nil, "latchkey resource server/1/names/"+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving key of %s: %w", purpose, err)
	}
	return &Names{key}, nil
}

// Of is the name of what the parts name together, 32 hexadecimal characters.
func (n *Names) Of(parts ...string) string { return n.Whole(parts...)[:32] }

// Whole is a name uncut, 64 hexadecimal characters: for what must not be mistaken
// for another even by one who looks for two of one name.
func (n *Names) Whole(parts ...string) string {
	mac := hmac.New(sha256.New, n.key)
	for _, p := range parts { // with its length: "a", "bc" is not "ab", "c"
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		mac.Write([]byte(p))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
