package signals

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"latchkey/pkg/accesstoken"
)

const (
	// MaxAge is how old an event may be. What was acted on is remembered longer.
	MaxAge = 30 * 24 * time.Hour
	// Skew is how far Google's clock and the database's may be apart.
	Skew = 5 * time.Minute

	maxEvents   = 8
	maxAudience = 32
	maxID       = 255
)

// KeySource finds Google's public keys: *Keys, or another with the same
// contract. An error that wraps accesstoken.ErrInvalid says that there is no
// such key; any other is doubt.
type KeySource interface {
	Key(ctx context.Context, kid string) (jose.JSONWebKey, error)
}

// Signal is a verified security event token.
type Signal struct {
	ID      [sha256.Size]byte // of the token; a second delivery has the same
	Issued  time.Time         // by Google's clock, not before what it tells of
	Clients []string          // ours among the Google clients it is for, sorted
	Acts    []Act             // at most 8; none for an event that is only logged

	events []event
	jti    string
}

// refusal is a token that is no event for us, in the codes of RFC 8935 §2.4.
type refusal struct {
	code        string
	description string // shown to the sender
	cause       error
}

func (e *refusal) Error() string {
	if e.cause == nil {
		return e.code + ": " + e.description
	}
	return e.code + ": " + e.description + ": " + e.cause.Error()
}

func (e *refusal) Unwrap() error { return e.cause }

func refuse(code, description string, cause error) *refusal {
	return &refusal{code, description, cause}
}

// verify proves a security event token (RFC 8417 §2, RFC 8935 §2): signature of
// Google, issuer, audience, age. The error is a *refusal, or doubt about
// Google's keys.
func (h *Handler) verify(ctx context.Context, token string) (*Signal, error) {
	// RS256 alone: neither "none" nor a MAC made with the public key gets further.
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	var alg *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &alg) {
		return nil, refuse("authentication_failed", "The token must be signed with RS256.", nil)
	}
	if err != nil {
		return nil, refuse("invalid_request", "The body is not a signed token.", nil) // the parser's text may repeat parts of it
	}
	header := jws.Signatures[0].Protected
	if !typed(header) {
		return nil, refuse("invalid_request", "typ is not that of a security event token.", nil)
	}
	if header.KeyID == "" {
		return nil, refuse("invalid_key", "The token names no key.", nil)
	}
	key, err := h.Keys.Key(ctx, header.KeyID)
	if errors.Is(err, accesstoken.ErrInvalid) {
		return nil, refuse("invalid_key", "The key is not one of the issuer's.", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading google's keys: %w", err)
	}
	// A key of another algorithm or purpose verifies nothing here.
	if key.Algorithm != string(jose.RS256) || (key.Use != "" && key.Use != "sig") {
		return nil, refuse("invalid_key", "The key is not for RS256 signatures.", nil)
	}
	claims, err := jws.Verify(key)
	if err != nil {
		return nil, refuse("authentication_failed", "The signature is wrong.", nil)
	}
	return parse(claims, h.Issuer, h.Clients(), h.Now())
}

// typed reports whether typ may be that of a security event token (RFC 8417
// §2.3). Google does not say what it sends; an absent one and the general "JWT"
// are taken, and the events claim tells the rest apart.
func typed(h jose.Header) bool {
	v, present := h.ExtraHeaders[jose.HeaderType]
	if !present {
		return true
	}
	typ, ok := v.(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return ok && (typ == "secevent+jwt" || typ == "jwt")
}

// parse reads the claims of a token whose signature was verified. Member names
// are exact and single: github.com/go-jose/go-jose/v4/json sees to it.
func parse(claims []byte, issuer string, ours []string, now time.Time) (*Signal, error) {
	var c struct {
		Issuer   string                     `json:"iss"`
		Audience jwt.Audience               `json:"aud"`
		Issued   *jwt.NumericDate           `json:"iat"`
		ID       string                     `json:"jti"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return nil, refuse("invalid_request", "The claims cannot be read.", nil)
	}
	// Without events it is something else that Google signed: an ID token is no
	// security event (RFC 8417 §4.5), nor is an event for us if it is another's.
	switch {
	case len(c.Events) == 0 || len(c.Events) > maxEvents:
		return nil, refuse("invalid_request", "events is missing or too long.", nil)
	case c.Issuer != issuer:
		return nil, refuse("invalid_issuer", "iss is not the issuer that is accepted here.", nil)
	case c.Issued == nil:
		return nil, refuse("invalid_request", "iat is missing.", nil)
	case c.ID == "" || len(c.ID) > maxID:
		return nil, refuse("invalid_request", "jti is missing or too long.", nil)
	case len(c.Audience) > maxAudience:
		return nil, refuse("invalid_audience", "aud is too long.", nil)
	}
	s := &Signal{Issued: c.Issued.Time(), jti: c.ID}
	for _, id := range c.Audience {
		if id != "" && slices.Contains(ours, id) {
			s.Clients = append(s.Clients, id)
		}
	}
	slices.Sort(s.Clients)
	s.Clients = slices.Compact(s.Clients)
	if len(s.Clients) == 0 {
		return nil, refuse("invalid_audience", "aud names no OAuth client of this server.", nil)
	}
	// There is no exp: events are history (RFC 8417 §2.2). Very old ones tell
	// nothing, and their jti is forgotten.
	if age := now.Sub(s.Issued); age < -Skew || age > MaxAge {
		return nil, refuse("invalid_request", "iat is in the future or too long ago.", nil)
	}
	s.ID = identify(s.Clients, c.ID)
	uris := make([]string, 0, len(c.Events))
	for uri := range c.Events {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	for _, uri := range uris {
		e, err := parseEvent(issuer, uri, c.Events[uri])
		if err != nil {
			return nil, refuse("invalid_request", "An event does not have the form of its type.", err)
		}
		s.events = append(s.events, e)
		if e.act != nil {
			s.Acts = append(s.Acts, *e.act)
		}
	}
	return s, nil
}

// identify is the key of single use. A jti is unique in its stream, and each
// Google project has one (RFC 8417 §2.2): the clients tell them apart. Lengths
// keep the parts apart.
func identify(clients []string, jti string) [sha256.Size]byte {
	var b []byte
	for _, part := range append(slices.Clone(clients), jti) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}
