package kek

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"

	"latchkey/authserver/internal/vault"
)

const maxToken = 4 << 10

// openVault opens a key of HashiCorp Vault's transit engine. Vault's own
// settings hold: VAULT_CACERT, VAULT_NAMESPACE and the others; VAULT_ADDR does
// not, the URI names the host.
func openVault(s Source) (classed, error) {
	u, err := url.Parse(s.URI)
	if err != nil {
		return classed{}, err
	}
	settings := api.DefaultConfig()
	if settings.Error != nil {
		return classed{}, settings.Error
	}
	next := s.transport
	if next == nil {
		next = settings.HttpClient.Transport
	}
	return classed{transit{address: "https://" + u.Host, path: u.EscapedPath(), tokenFile: s.VaultTokenFile, next: next}, vaultClass}, nil
}

// transit makes a client for each call, with the token as it is now.
type transit struct {
	address, path, tokenFile string
	next                     http.RoundTripper
}

func (t transit) key(ctx context.Context) (tink.AEAD, error) {
	settings := api.DefaultConfig()
	settings.Address, settings.Timeout, settings.MaxRetries, settings.DisableRedirects = t.address, callTimeout, 0, true
	settings.HttpClient = &http.Client{
		Transport: within{ctx, t.next},
		// What is sent is for this service alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c, err := api.NewClient(settings)
	if err != nil {
		return nil, err
	}
	if t.tokenFile != "" {
		token, err := readToken(t.tokenFile)
		if err != nil {
			return nil, err
		}
		c.SetToken(token)
	}
	return hcvault.NewAEAD(t.path, c.Logical())
}

func (t transit) EncryptWithContext(ctx context.Context, plaintext, associated []byte) ([]byte, error) {
	a, err := t.key(ctx)
	if err != nil {
		return nil, err
	}
	return a.Encrypt(plaintext, associated)
}

func (t transit) DecryptWithContext(ctx context.Context, ciphertext, associated []byte) ([]byte, error) {
	a, err := t.key(ctx)
	if err != nil {
		return nil, err
	}
	return a.Decrypt(ciphertext, associated)
}

// within gives requests a context, which tink's client has not, and answers an
// end.
type within struct {
	ctx  context.Context
	next http.RoundTripper
}

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	return bound(w.next.RoundTrip(r.WithContext(w.ctx)))
}

var errToken = errors.New("no token")

func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errToken, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	token := strings.TrimSpace(string(b))
	if err != nil || token == "" || len(b) > maxToken {
		return "", errToken
	}
	return token, nil
}

// vaultClass: developer.hashicorp.com/vault/api-docs, "HTTP status codes". 400
// of decrypt is a ciphertext of another key or other associated data.
func vaultClass(err error) (kind error, code string) {
	var answered *api.ResponseError
	switch {
	case errors.Is(err, errToken):
		return vault.ErrKEKRefused, "the file that VAULT_TOKEN_FILE names holds no token"
	case !errors.As(err, &answered):
		return vault.ErrKEKAway, "no answer"
	}
	code = strconv.Itoa(answered.StatusCode)
	switch answered.StatusCode {
	case http.StatusBadRequest:
		return vault.ErrWrongKEK, code
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return vault.ErrKEKRefused, code
	}
	return vault.ErrKEKAway, code
}
