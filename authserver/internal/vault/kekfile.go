package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

const maxKEKBytes = 64 << 10

// CreateKEK makes a new key in a new file of mode 0600. An existing file is
// never overwritten: everything sealed under it would be lost.
func CreateKEK(path string) (*KEK, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making the key-encryption key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists already: it may hold the key to stored credentials, so it is not overwritten", path)
	}
	if err != nil {
		return nil, fmt.Errorf("making the key-encryption key file: %w", err)
	}
	if err := writeKEK(f, handle); err != nil {
		_ = os.Remove(path) // ours, and half a key is none
		return nil, err
	}
	return newKEK(handle)
}

// AddKEK puts a new key into a key file. It unwraps and does not wrap yet, so
// that every server can be given the file before PromoteKEK. It returns the new
// key's id and the name of a second file that holds what the first one was.
func AddKEK(path string) (id, kept string, err error) {
	return changeKEK(path, func(m *keyset.Manager, _ []uint32, _ uint32) (uint32, error) {
		return m.Add(aead.AES256GCMKeyTemplate())
	})
}

// PromoteKEK makes the newest key of a file the one that wraps; the older ones
// stay and unwrap. It returns as AddKEK does.
func PromoteKEK(path string) (id, kept string, err error) {
	return changeKEK(path, func(m *keyset.Manager, all []uint32, primary uint32) (uint32, error) {
		newest := all[len(all)-1]
		if newest == primary {
			return 0, errors.New("the newest key of the file wraps already: add one first")
		}
		return newest, m.SetPrimary(newest)
	})
}

// changeKEK replaces a key file in one step: no reader and no crash finds half
// of it, and of two commands at once one is refused before it has read.
func changeKEK(path string, change func(m *keyset.Manager, all []uint32, primary uint32) (uint32, error)) (id, kept string, err error) {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", "", fmt.Errorf("%s exists: another command is at work, or was cut off; delete it if none is", fresh)
	}
	if err != nil {
		return "", "", fmt.Errorf("making the key-encryption key file: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = f.Close(), os.Remove(fresh)
		}
	}()
	old, err := readKEK(path)
	if err != nil {
		return "", "", err
	}
	var all []uint32
	for _, key := range old.KeysetInfo().GetKeyInfo() {
		all = append(all, key.GetKeyId())
	}
	m := keyset.NewManagerFromHandle(old)
	changed, err := change(m, all, old.KeysetInfo().GetPrimaryKeyId())
	if err != nil {
		return "", "", fmt.Errorf("changing the key-encryption key file: %w", err)
	}
	handle, err := m.Handle()
	if err != nil {
		return "", "", fmt.Errorf("changing the key-encryption key file: %w", err)
	}
	if err := writeKEK(f, handle); err != nil {
		return "", "", err
	}
	kept = fmt.Sprintf("%s.before-%d", path, time.Now().UnixNano())
	if err := os.Link(path, kept); err != nil {
		return "", "", fmt.Errorf("keeping the key-encryption key file as it was: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", "", fmt.Errorf("replacing the key-encryption key file: %w", err)
	}
	return idOf(changed), kept, syncDir(path)
}

func writeKEK(f *os.File, handle *keyset.Handle) error {
	var b bytes.Buffer
	err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b))
	if err == nil {
		_, err = f.Write(b.Bytes())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the key-encryption key file: %w", err)
	}
	return syncDir(f.Name())
}

// syncDir makes a new name in a file's directory survive a crash.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("opening the directory of the key-encryption key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("writing the directory of the key-encryption key file: %w", err)
	}
	return nil
}

// LoadKEK reads the key. It refuses a file that others may read: the key opens
// every stored credential.
func LoadKEK(path string) (*KEK, error) {
	handle, err := readKEK(path)
	if err != nil {
		return nil, err
	}
	return newKEK(handle)
}

func readKEK(path string) (*keyset.Handle, error) {
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
	return handle, nil
}

func newKEK(handle *keyset.Handle) (*KEK, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("using the key-encryption key: %w", err)
	}
	info := handle.KeysetInfo()
	var all []string
	for _, key := range info.GetKeyInfo() {
		all = append(all, idOf(key.GetKeyId()))
	}
	return NewKEK(local{a}, idOf(info.GetPrimaryKeyId()), all...), nil
}

func idOf(key uint32) string { return fmt.Sprintf("file:%08x", key) }
