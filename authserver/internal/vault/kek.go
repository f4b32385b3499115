package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// Why a data key could not be wrapped or unwrapped. Only ErrKEKAway is doubt:
// the others stay until somebody changes something.
var (
	// ErrWrongKEK says that the data key was wrapped by another key-encryption key
	// than the ones given: a server with it must not start (DESIGN §1.6).
	ErrWrongKEK = errors.New("wrong key-encryption key")
	// ErrKEKRefused says that the key management service does not let this server
	// use the key: it is disabled, or the server's identity may not.
	ErrKEKRefused = errors.New("the key management service refuses the use of the key-encryption key")
	// ErrKEKAway says that the key management service did not answer in time, or
	// nothing that can be believed.
	ErrKEKAway = errors.New("the key management service does not answer")
)

// KEK is the key-encryption key: it wraps data keys and nothing else. Older
// keys beside it still unwrap. Safe for concurrent use.
type KEK struct {
	id   string
	keys map[string]tink.AEADWithContext // by id: the primary one and the older ones
}

// NewKEK makes a KEK of what a provider gives. The AEAD opens what the keys of
// all ids wrapped, of which the first wraps. Its errors are the ones above.
func NewKEK(a tink.AEADWithContext, id string, older ...string) *KEK {
	k := &KEK{id: id, keys: map[string]tink.AEADWithContext{id: a}}
	for _, o := range older {
		k.keys[o] = a
	}
	return k
}

// ID is the primary key's. It is readable in the database beside each key it
// wraps; it is no secret.
func (k *KEK) ID() string { return k.id }

// With returns a KEK that wraps as k does and unwraps what older wrapped too.
func (k *KEK) With(older *KEK) *KEK {
	both := &KEK{id: k.id, keys: maps.Clone(older.keys)}
	maps.Copy(both.keys, k.keys)
	return both
}

func (k *KEK) wrap(ctx context.Context, raw, associated []byte) ([]byte, error) {
	wrapped, err := k.keys[k.id].EncryptWithContext(ctx, raw, associated)
	if err != nil {
		return nil, fmt.Errorf("wrapping a data key: %w", err)
	}
	return wrapped, nil
}

func (k *KEK) unwrap(ctx context.Context, id string, wrapped, associated []byte) ([]byte, error) {
	a := k.keys[id]
	if a == nil {
		return nil, fmt.Errorf("%w: it is wrapped by key-encryption key %s, but the one given (KEK_FILE or KEK_URI) is %s: give the one that was in use", ErrWrongKEK, id, k.id)
	}
	return a.DecryptWithContext(ctx, wrapped, associated)
}

// local is a key in this process's memory: there is no doubt about it.
type local struct{ aead tink.AEAD }

func (l local) EncryptWithContext(_ context.Context, plaintext, associated []byte) ([]byte, error) {
	return l.aead.Encrypt(plaintext, associated)
}

func (l local) DecryptWithContext(_ context.Context, ciphertext, associated []byte) ([]byte, error) {
	raw, err := l.aead.Decrypt(ciphertext, associated)
	if err != nil {
		return nil, ErrWrongKEK // tink says no more than that either
	}
	return raw, nil
}
