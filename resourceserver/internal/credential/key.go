package credential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

const maxKeyFile = 16 << 10

// CreateKey makes this server's key for private_key_jwt: the private JWK in
// keyFile (mode 0600) and the public JWKS in jwksFile, which the authorization
// server gets. An existing key is never replaced; only its public half is
// written again if jwksFile is missing. It returns the key id.
func CreateKey(keyFile, jwksFile string) (string, error) {
	key, err := LoadKey(keyFile)
	switch {
	case err == nil:
		if _, err := os.Stat(jwksFile); err == nil {
			return "", fmt.Errorf("%s and %s exist already: remove both to make a new key", keyFile, jwksFile)
		}
	case errors.Is(err, fs.ErrNotExist):
		if key, err = newKey(); err != nil {
			return "", err
		}
		if err := writeJSON(keyFile, key, 0o600); err != nil {
			return "", err
		}
	default:
		return "", err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
	if err := writeJSON(jwksFile, set, 0o644); err != nil {
		return "", err
	}
	return key.KeyID, nil
}

func newKey() (jose.JSONWebKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("making key: %w", err)
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	sum, err := key.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("making key id: %w", err)
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	return key, nil
}

// writeJSON writes a file that must not exist, completely or not at all.
func writeJSON(path string, v any, mode fs.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(path), err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("writing key: %w", err)
	}
	return nil
}

// LoadKey reads this server's private key. It refuses one that others can read.
func LoadKey(file string) (jose.JSONWebKey, error) {
	const advice = "make one with: resourceserver keys init --key-file FILE --jwks-file FILE"
	var key jose.JSONWebKey
	info, err := os.Stat(file)
	if err != nil {
		return key, fmt.Errorf("cannot read this server's key (RS_KEY_FILE): %w: %s", err, advice)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return key, fmt.Errorf("RS_KEY_FILE %s is no key: %s", file, advice)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("RS_KEY_FILE %s can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return key, fmt.Errorf("cannot read this server's key (RS_KEY_FILE): %w", err)
	}
	alg := func() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(key.Algorithm) }
	if err := json.Unmarshal(b, &key); err != nil || !key.Valid() || key.IsPublic() || key.KeyID == "" || (alg() != jose.ES256 && alg() != jose.EdDSA) {
		return jose.JSONWebKey{}, fmt.Errorf("RS_KEY_FILE %s holds no private ES256 or EdDSA key with a key id: %s", file, advice)
	}
	return key, nil
}
