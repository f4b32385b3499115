package grant

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/secret"
)

// ErrForged says that a string is no code or refresh token of this tenant. It
// was found out without asking the database.
var ErrForged = errors.New("not a token of this server")

// Prefixes make leaked strings recognisable to secret scanners.
const (
	codePrefix    = "lkc_"
	refreshPrefix = "lkr_"
)

const (
	version   = 1
	keyIDSize = 4
	keySize   = 32
	macSize   = 32
	// version, key id, grant id, generation, MAC
	rawSize = 1 + keyIDSize + 16 + 4 + macSize
)

// MACKey authenticates codes and refresh tokens.
type MACKey struct {
	ID  [keyIDSize]byte
	Key secret.Bytes // 32 bytes
}

// Codec makes and reads a tenant's codes and refresh tokens:
//
//	prefix base64url( version | key id | grant id | generation | HMAC-SHA256 )
//
// The MAC covers kind, tenant and everything before it, so that a code is no
// refresh token and a token of one tenant is none of another. Nothing in the
// string is secret but that nobody else can make it.
type Codec struct {
	tenant tenant.ID
	active MACKey
	keys   map[[keyIDSize]byte]MACKey
}

// NewCodec returns a codec that makes tokens with the active key and reads
// those of all.
func NewCodec(t tenant.ID, active MACKey, others ...MACKey) (*Codec, error) {
	c := &Codec{tenant: t, active: active, keys: map[[keyIDSize]byte]MACKey{}}
	if t.IsZero() {
		return nil, errors.New("grant codec needs a tenant")
	}
	for _, k := range slices.Concat(others, []MACKey{active}) {
		if len(k.Key.Reveal()) != keySize {
			return nil, fmt.Errorf("grant key %x: must have %d bytes", k.ID, keySize)
		}
		if _, twice := c.keys[k.ID]; twice {
			return nil, fmt.Errorf("grant key %x: two keys with one id", k.ID)
		}
		c.keys[k.ID] = k
	}
	return c, nil
}

// Code is the authorization code of a grant.
func (c *Codec) Code(id uuid.UUID) secret.Text { return c.encode(codePrefix, id, 0) }

// ParseCode returns the grant of an authorization code, or ErrForged.
func (c *Codec) ParseCode(s string) (uuid.UUID, error) {
	id, generation, err := c.decode(codePrefix, s)
	if err != nil || generation != 0 {
		return uuid.Nil, ErrForged
	}
	return id, nil
}

// RefreshToken is the refresh token of a grant's generation: the same string
// whenever it is derived (DESIGN §4).
func (c *Codec) RefreshToken(id uuid.UUID, generation int32) secret.Text {
	return c.encode(refreshPrefix, id, generation)
}

// ParseRefreshToken returns grant and generation of a refresh token, or
// ErrForged.
func (c *Codec) ParseRefreshToken(s string) (uuid.UUID, int32, error) {
	id, generation, err := c.decode(refreshPrefix, s)
	if err != nil || generation < 1 {
		return uuid.Nil, 0, ErrForged
	}
	return id, generation, nil
}

func (c *Codec) encode(prefix string, id uuid.UUID, generation int32) secret.Text {
	raw := make([]byte, 0, rawSize)
	raw = append(raw, version)
	raw = append(raw, c.active.ID[:]...)
	raw = append(raw, id[:]...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(generation)) //nolint:gosec // a generation is never negative
	raw = append(raw, c.mac(c.active, prefix, raw)...)
	return secret.NewText(prefix + base64.RawURLEncoding.EncodeToString(raw))
}

func (c *Codec) decode(prefix, s string) (uuid.UUID, int32, error) {
	body, ok := strings.CutPrefix(s, prefix)
	if !ok || len(body) != base64.RawURLEncoding.EncodedLen(rawSize) {
		return uuid.Nil, 0, ErrForged
	}
	// Strict: one string per token, no stray bits in the last character.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) != rawSize || raw[0] != version {
		return uuid.Nil, 0, ErrForged
	}
	signed, mac := raw[:rawSize-macSize], raw[rawSize-macSize:]
	key, ok := c.keys[[keyIDSize]byte(signed[1:1+keyIDSize])]
	if !ok || !hmac.Equal(mac, c.mac(key, prefix, signed)) {
		return uuid.Nil, 0, ErrForged
	}
	return uuid.UUID(signed[1+keyIDSize : 1+keyIDSize+16]), int32(binary.BigEndian.Uint32(signed[1+keyIDSize+16:])), nil //nolint:gosec // authenticated
}

func (c *Codec) mac(k MACKey, prefix string, signed []byte) []byte {
	id := c.tenant.UUID()
	mac := hmac.New(sha256.New, k.Key.Reveal())
	mac.Write(bytes.Join([][]byte{[]byte("latchkey grant v1"), []byte(prefix), id[:], signed}, nil)) // every part has a fixed length per prefix
	return mac.Sum(nil)
}
