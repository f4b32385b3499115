package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"latchkey/authserver/internal/tenant"
)

// Hash is a link of a chain.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText renders the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText parses the form of MarshalText and no other.
func (h *Hash) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(h) || hex.EncodeToString(raw) != string(b) {
		return errors.New("a hash is 64 hexadecimal digits in lower case")
	}
	copy(h[:], raw)
	return nil
}

// Genesis is what a tenant's first event is chained to.
func Genesis(t tenant.ID) Hash {
	id := t.UUID()
	return sha256.Sum256(append([]byte("latchkey audit genesis v1"), id[:]...))
}

// Chain is the hash of an event at its place.
func Chain(previous Hash, seq int64, e Event) Hash {
	content := sha256.Sum256(e.encoding())
	link := append([]byte("latchkey audit chain v1"), previous[:]...)
	link = binary.BigEndian.AppendUint64(link, uint64(seq)) //nolint:gosec // positive
	return sha256.Sum256(append(link, content[:]...))
}

// Sealed is an event at its place in the chain. Seq 0: not sealed yet.
type Sealed struct {
	ID   int64 `json:"-"` // a name for paging
	Seq  int64 `json:"seq,omitempty"`
	Hash Hash  `json:"hash,omitzero"`
	Event
}

// Head is how far a chain has come. The zero Seq: nothing is sealed.
type Head struct {
	Seq  int64
	Hash Hash
}

// ErrBroken says that a chain ends before its last checkpoint, or otherwise
// than that says. Such a chain is not continued: that would bury the evidence.
var ErrBroken = errors.New("the audit chain contradicts its last checkpoint: run `authserver audit verify`")
