package httpx

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// rereadEvery is how often a key pair's files are looked at.
const rereadEvery = time.Minute

// KeyPair is a certificate and its key in two PEM files. Certificates are renewed
// while servers run, so the files are read again when they change; while they do
// not fit together, as in the middle of a renewal, the pair before is used on.
// Safe for concurrent use.
type KeyPair struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	pair    *tls.Certificate
	changed [2]time.Time
	looked  time.Time
}

// LoadKeyPair reads both files once; now may be nil.
func LoadKeyPair(certFile, keyFile string, now func() time.Time) (*KeyPair, error) {
	if now == nil {
		now = time.Now
	}
	k := &KeyPair{certFile: certFile, keyFile: keyFile, now: now}
	if err := k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *KeyPair) read() error {
	changed, err := k.modified()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return fmt.Errorf("reading certificate %s with key %s: %w", k.certFile, k.keyFile, err)
	}
	k.pair, k.changed, k.looked = &pair, changed, k.now()
	return nil
}

func (k *KeyPair) modified() (out [2]time.Time, err error) {
	for i, file := range []string{k.certFile, k.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return out, fmt.Errorf("reading certificate: %w", err)
		}
		out[i] = info.ModTime()
	}
	return out, nil
}

// Certificate returns the pair as it stands, at most a minute old.
func (k *KeyPair) Certificate() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.looked) >= rereadEvery {
		k.looked = k.now()
		if changed, err := k.modified(); err == nil && changed != k.changed {
			_ = k.read() // the pair before is used on, and the next look comes in a minute
		}
	}
	return k.pair
}
