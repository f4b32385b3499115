package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const maxKEKBytes = 64 << 10

// KEK is the key-encryption key: it wraps data keys and nothing else. Its file
// may hold older keys beside the primary one, which still unwrap.
type KEK struct {
	aead tink.AEAD
	id   string
	ids  map[string]bool // the primary key and the older ones
}

// ID is the primary key's. It is readable in the database beside each key it
// wraps; it is no secret.
func (k *KEK) ID() string { return k.id }

// CreateKEK makes a new key in a new file of mode 0600. An existing file is
// never overwritten: everything sealed under it would be lost.
func CreateKEK(path string) (*KEK, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making the key-encryption key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("encoding the key-encryption key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists already: it may hold the key to stored credentials, so it is not overwritten", path)
	}
	if err != nil {
		return nil, fmt.Errorf("making the key-encryption key file: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // ours, and half a key is none
		return nil, fmt.Errorf("writing the key-encryption key file: %w", err)
	}
	return newKEK(handle)
}

// LoadKEK reads the key. It refuses a file that others may read: the key opens
// every stored credential.
func LoadKEK(path string) (*KEK, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hang the start
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key-encryption key file %s (KEK_FILE) does not exist: restore it, or for a new deployment make one with: authserver keys init --kek-file %s", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key file (KEK_FILE): %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // of what is read, not of what stands there by now
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key file (KEK_FILE): %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s (KEK_FILE) is no file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key-encryption key file %s (KEK_FILE) may be read by others: run chmod 600 on it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKEKBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key file (KEK_FILE): %w", err)
	}
	if len(b) > maxKEKBytes {
		return nil, fmt.Errorf("the key-encryption key file %s (KEK_FILE) is no key: it is too large", path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("the key-encryption key file %s (KEK_FILE) holds no key set: restore it from your backup", path)
	}
	return newKEK(handle)
}

func newKEK(handle *keyset.Handle) (*KEK, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("using the key-encryption key: %w", err)
	}
	info := handle.KeysetInfo()
	k := &KEK{aead: a, id: idOf(info.GetPrimaryKeyId()), ids: map[string]bool{}}
	for _, key := range info.GetKeyInfo() {
		k.ids[idOf(key.GetKeyId())] = true
	}
	return k, nil
}

func idOf(key uint32) string { return fmt.Sprintf("file:%08x", key) }
