package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxSealed bounds what Open looks at, in characters.
const maxSealed = 16 << 10

// ErrInvalid is a value that was not sealed here for this purpose, or has
// ended. Which of these it is nobody learns.
var ErrInvalid = errors.New("sealed value is not valid")

// Keys derives the boxes of this server.
type Keys struct{ secret []byte }

// New takes the server's private key, an ES256 or EdDSA key as from
// credential.LoadKey.
func New(key jose.JSONWebKey) (*Keys, error) {
	switch k := key.Key.(type) {
	case *ecdsa.PrivateKey:
		b, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("deriving seal keys: %w", err)
		}
		return &Keys{b}, nil
	case ed25519.PrivateKey:
		return &Keys{k.Seed()}, nil
	}
	return nil, errors.New("deriving seal keys: the server's key is neither ES256 nor EdDSA")
}

// Box seals and opens values of one purpose and type. It is safe for concurrent
// use.
type Box[T any] struct {
	aead cipher.AEAD
	now  func() time.Time
}

// NewBox derives the box of a purpose; now may be nil.
func NewBox[T any](k *Keys, purpose string, now func() time.Time) (*Box[T], error) {
	if purpose == "" {
		return nil, errors.New("a box needs a purpose")
	}
	if now == nil {
		now = time.Now
	}
	key, err := hkdf.Key(sha256.New, k.secret, nil, "latchkey resource server/1/"+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving key of %s: %w", purpose, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making cipher of %s: %w", purpose, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making cipher of %s: %w", purpose, err)
	}
	return &Box[T]{aead, now}, nil
}

type envelope[T any] struct {
	Until int64 `json:"x"` // Unix time in milliseconds
	Value T     `json:"v"`
}

// Seal returns the value as URL-safe text that Open takes until then.
func (b *Box[T]) Seal(value T, until time.Time) (string, error) {
	plain, err := json.Marshal(envelope[T]{until.UnixMilli(), value})
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b.aead.Seal(nil, nil, plain, nil)), nil
}

// Open returns the value and its end, or ErrInvalid.
func (b *Box[T]) Open(sealed string) (value T, until time.Time, err error) {
	var none T
	if len(sealed) > maxSealed {
		return none, time.Time{}, ErrInvalid
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return none, time.Time{}, ErrInvalid
	}
	plain, err := b.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return none, time.Time{}, ErrInvalid
	}
	var e envelope[T]
	if err := json.Unmarshal(plain, &e); err != nil {
		return none, time.Time{}, ErrInvalid
	}
	until = time.UnixMilli(e.Until)
	if !b.now().Before(until) {
		return none, time.Time{}, ErrInvalid
	}
	return e.Value, until, nil
}
