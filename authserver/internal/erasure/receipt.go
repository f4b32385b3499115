package erasure

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ReceiptType is the JOSE header's typ of a receipt, without "application/". It
// is what tells a receipt from an access token of the same key.
const ReceiptType = "erasure-receipt+jwt"

// What a receipt is about.
const (
	KindSubject = "subject"
	KindTenant  = "tenant"
)

const (
	maxReceipt = 64 << 10
	maxJWKS    = 256 << 10

	backups = "Backups and archived write-ahead logs made before this time hold the destroyed keys and values until they are deleted; restoring one brings them back."
)

// Receipt is the statement of an erasure. It holds no personal data: ids only.
type Receipt struct {
	Issuer   string           `json:"iss"`
	ID       string           `json:"jti"`
	IssuedAt int64            `json:"iat"` // when it was done, seconds since 1970
	Kind     string           `json:"erased"`
	Tenant   string           `json:"tid"`
	Subject  string           `json:"sub,omitempty"`
	Keys     []string         `json:"keys_destroyed"`
	Rows     map[string]int64 `json:"rows"`             // overwritten or deleted, by table
	Google   Google           `json:"google,omitempty"` // of a person's erasure
	Backups  string           `json:"backups"`
}

// ErrReceipt says that a receipt is not what it claims to be.
var ErrReceipt = errors.New("the receipt is not valid")

// Verify checks a receipt against a public key set (RFC 7517 §5): that of the
// issuer named in it, from its JWKS endpoint, as it was when the receipt was
// made. Keep a copy with the receipt: keys leave the set when they are retired.
func Verify(receipt string, jwks []byte) (Receipt, error) {
	if len(receipt) > maxReceipt || len(jwks) > maxJWKS {
		return Receipt{}, fmt.Errorf("%w: it or the key set is too large", ErrReceipt)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		return Receipt{}, fmt.Errorf("%w: the key set cannot be read", ErrReceipt)
	}
	jws, err := jose.ParseSignedCompact(strings.TrimSpace(receipt), []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: it is no signed statement", ErrReceipt)
	}
	header := jws.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != ReceiptType {
		return Receipt{}, fmt.Errorf("%w: it is of another type", ErrReceipt)
	}
	for _, key := range set.Key(header.KeyID) {
		if !key.IsPublic() || key.Algorithm != header.Algorithm {
			continue
		}
		payload, err := jws.Verify(key)
		if err != nil {
			continue
		}
		var r Receipt
		if err := json.Unmarshal(payload, &r); err != nil {
			return Receipt{}, fmt.Errorf("%w: its content cannot be read", ErrReceipt)
		}
		return r, nil
	}
	return Receipt{}, fmt.Errorf("%w: no key of the set has signed it", ErrReceipt)
}
