package kek

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"latchkey/authserver/internal/vault"
)

const (
	// callTimeout bounds one call with its retries: a service that is slower
	// than this is away.
	callTimeout = 3 * time.Second
	// maxAnswer bounds an answer: a wrapped data key has some hundred bytes.
	maxAnswer = 64 << 10
)

// Source names one key: exactly one of File and URI is set.
type Source struct {
	File string // of vault.CreateKEK
	URI  string // as CheckURI accepts
	// VaultTokenFile holds the token for hcvault://, read anew for each call, as
	// Vault's agent renews it; "": VAULT_TOKEN.
	VaultTokenFile string

	transport http.RoundTripper // to Vault; nil: the network; tests
	endpoint  string            // of AWS; tests
	google    []gcpkms.Option   // tests
}

// The schemes of KEK_URI.
const (
	googleScheme = "gcp-kms://"
	awsScheme    = "aws-kms://"
	vaultScheme  = "hcvault://"
)

// CheckURI says what is wrong with the form of a KEK_URI. It asks nobody.
func CheckURI(uri string) error {
	switch {
	case strings.HasPrefix(uri, googleScheme):
		parts := strings.Split(strings.TrimPrefix(uri, googleScheme), "/")
		for i, want := range []string{"projects", "", "locations", "", "keyRings", "", "cryptoKeys", ""} {
			if len(parts) != 8 || parts[i] == "" || want != "" && parts[i] != want {
				return errors.New("must be gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K")
			}
		}
		return nil
	case strings.HasPrefix(uri, awsScheme):
		if _, err := awsRegion(uri); err != nil {
			return errors.New("must be aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID")
		}
		return nil
	case strings.HasPrefix(uri, vaultScheme):
		u, err := url.Parse(uri)
		parts := []string{}
		if err == nil {
			parts = strings.Split(u.EscapedPath(), "/")
		}
		if n := len(parts); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || n < 4 || parts[n-2] != "keys" || parts[n-1] == "" {
			return errors.New("must be hcvault://HOST[:PORT]/transit/keys/NAME")
		}
		return nil
	}
	return errors.New("must begin with gcp-kms://, aws-kms:// or hcvault://")
}

// Open opens a key. It calls no service: the first data key that is wrapped or
// unwrapped does.
func Open(ctx context.Context, s Source) (*vault.KEK, error) {
	if s.URI == "" {
		return vault.LoadKEK(s.File)
	}
	if err := CheckURI(s.URI); err != nil {
		return nil, fmt.Errorf("KEK_URI: %w", err)
	}
	var remote classed
	var err error
	switch {
	case strings.HasPrefix(s.URI, googleScheme):
		remote, err = openGoogle(ctx, s)
	case strings.HasPrefix(s.URI, awsScheme):
		remote, err = openAWS(ctx, s)
	default:
		remote, err = openVault(s)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the key-encryption key (KEK_URI): %w", err)
	}
	return vault.NewKEK(remote, s.URI), nil
}

// OpenBoth opens a key, and beside it another one that unwraps too, if there is
// one: a change of keys.
func OpenBoth(ctx context.Context, current Source, from *Source) (*vault.KEK, error) {
	k, err := Open(ctx, current)
	if err != nil || from == nil {
		return k, err
	}
	older, err := Open(ctx, *from)
	if err != nil {
		return nil, fmt.Errorf("FROM_KEK_FILE or FROM_KEK_URI: %w", err)
	}
	return k.With(older), nil
}

// classed is a key in a key management service. Its errors are classed: they
// carry the kind of failure and the service's code, never its text, which may
// repeat what was sent.
type classed struct {
	tink.AEADWithContext
	class func(error) (kind error, code string)
}

func (s classed) EncryptWithContext(ctx context.Context, raw, associated []byte) ([]byte, error) {
	return s.call(ctx, s.AEADWithContext.EncryptWithContext, raw, associated)
}

func (s classed) DecryptWithContext(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	return s.call(ctx, s.AEADWithContext.DecryptWithContext, wrapped, associated)
}

func (s classed) call(ctx context.Context, f func(context.Context, []byte, []byte) ([]byte, error), in, associated []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := f(ctx, in, associated)
	switch {
	case err == nil && len(out) > 0 && len(out) <= maxAnswer:
		return out, nil
	case err == nil:
		return nil, fmt.Errorf("%w: its answer is empty or too large", vault.ErrKEKAway)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", vault.ErrKEKAway, ctx.Err())
	}
	kind, code := s.class(err)
	return nil, fmt.Errorf("%w (%s)", kind, code)
}

// bound ends an answer after maxAnswer bytes, which spoils it: it is JSON.
func bound(resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
