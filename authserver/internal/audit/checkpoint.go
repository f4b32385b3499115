package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/tenant"
)

// CheckpointType is the typ of a checkpoint's JWS: it is no access token, and
// an access token is no checkpoint, although one key signs both (RFC 8725 §3.11).
const CheckpointType = "latchkey-audit-checkpoint+jwt"

// Checkpoint is a signed statement that a tenant's chain has a hash at a place.
type Checkpoint struct {
	Tenant tenant.ID `json:"-"`
	Seq    int64     `json:"seq"`
	Hash   Hash      `json:"hash"`
	KID    string    `json:"kid"`
	JWS    string    `json:"jws"`
}

// claims is the payload of the JWS.
type claims struct {
	Tenant string `json:"tid"`
	Seq    int64  `json:"seq"`
	Hash   Hash   `json:"hash"`
	At     int64  `json:"iat"`
}

// Signer signs with a tenant's active access-token key.
type Signer interface {
	SignDocument(typ string, claims any) (kid, jws string, err error)
}

func sign(s Signer, t tenant.ID, h Head, now time.Time) (Checkpoint, error) {
	kid, jws, err := s.SignDocument(CheckpointType, claims{Tenant: t.String(), Seq: h.Seq, Hash: h.Hash, At: now.Unix()})
	return Checkpoint{Tenant: t, Seq: h.Seq, Hash: h.Hash, KID: kid, JWS: jws}, err
}

var (
	errUnknownKey = errors.New("signed by a key that is not known")
	algorithms    = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256}
)

// verify checks that the JWS says what the checkpoint says, and is signed by
// one of the keys; errUnknownKey if none of them has its id.
func (c Checkpoint) verify(keys jose.JSONWebKeySet) error {
	jws, err := jose.ParseSignedCompact(c.JWS, algorithms)
	if err != nil {
		return errors.New("its signature cannot be read")
	}
	header := jws.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != CheckpointType || header.KeyID != c.KID {
		return errors.New("it is no checkpoint of the key it names")
	}
	var said claims
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &said); err != nil || said.Tenant != c.Tenant.String() || said.Seq != c.Seq || said.Hash != c.Hash {
		return errors.New("it does not say what was signed")
	}
	known := slices.IndexFunc(keys.Keys, func(k jose.JSONWebKey) bool { return k.KeyID == c.KID && k.Algorithm == header.Algorithm })
	if known < 0 {
		return errUnknownKey
	}
	if _, err := jws.Verify(keys.Keys[known]); err != nil {
		return errors.New("its signature is wrong")
	}
	return nil
}

// Anchor is a checkpoint as somebody else remembers it: from a log line, or a
// book. It shows a history that was rewritten by an owner of both the database
// and the keys.
type Anchor struct {
	Tenant tenant.ID
	Seq    int64
	Hash   Hash
}

func (a Anchor) String() string { return fmt.Sprintf("%s:%d:%s", a.Tenant, a.Seq, a.Hash) }

// ParseAnchor parses tenant:seq:hash.
func ParseAnchor(s string) (Anchor, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Anchor{}, errors.New("an anchor is tenant:seq:hash, as the log has it")
	}
	var a Anchor
	var err error
	if a.Tenant, err = tenant.ParseID(parts[0]); err != nil {
		return a, fmt.Errorf("anchor: %w", err)
	}
	if a.Seq, err = strconv.ParseInt(parts[1], 10, 64); err != nil || a.Seq < 1 {
		return a, errors.New("anchor: its place is no number above 0")
	}
	if err := a.Hash.UnmarshalText([]byte(parts[2])); err != nil {
		return a, fmt.Errorf("anchor: %w", err)
	}
	return a, nil
}
