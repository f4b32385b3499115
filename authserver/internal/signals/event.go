package signals

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4/json"

	"latchkey/authserver/internal/connection"
)

// The events of developers.google.com/identity/protocols/risc, "Supported event
// types", and account-purged of the RISC profile, which Google may add.
const (
	risc        = "https://schemas.openid.net/secevent/risc/event-type/"
	oauthEvents = "https://schemas.openid.net/secevent/oauth/event-type/"

	SessionsRevoked          = risc + "sessions-revoked"
	TokensRevoked            = oauthEvents + "tokens-revoked"
	TokenRevoked             = oauthEvents + "token-revoked"
	AccountDisabled          = risc + "account-disabled"
	AccountEnabled           = risc + "account-enabled"
	AccountPurged            = risc + "account-purged"
	CredentialChangeRequired = risc + "account-credential-change-required"
	Verification             = risc + "verification"
)

// Act is what an event does to the credentials of one Google account, or to the
// one credential that has a refresh token. A marked credential gives no access
// token until the person signs in again.
type Act struct {
	Subject string               // Google's sub; "" when Token is set
	Token   connection.RefreshID // of one refresh token; exactly one half is set

	Reason       string // last_error of credentials, revoked_reason of grants
	Forget       bool   // refresh tokens go too: Google has revoked them
	RevokeGrants bool   // what we issued to people who sign in with the account ends
}

// event is one member of the events claim, understood.
type event struct {
	name string // of the event, for the log; "unknown" for a type we do not know
	note string // why nothing is done, or what a verification carried
	act  *Act   // nil: nothing is done
}

const (
	maxState = 128 // characters of a verification's state that are logged
	maxSub   = 255
)

// payload has the members of all events that we know.
type payload struct {
	Subject *struct {
		Type   string `json:"subject_type"`
		Issuer string `json:"iss"`
		Sub    string `json:"sub"`

		TokenType string `json:"token_type"`
		TokenAlg  string `json:"token_identifier_alg"`
		Token     string `json:"token"`
	} `json:"subject"`
	Reason string `json:"reason"`
	State  string `json:"state"`
}

// parseEvent reads one event of a token that issuer made. An event that does
// not have the form of its type is an error; one of a type, reason or subject
// that we do not know is none, and does nothing.
func parseEvent(issuer, uri string, raw json.RawMessage) (event, error) {
	act, name := Act{}, ""
	switch uri {
	case SessionsRevoked:
		name, act = "sessions-revoked", Act{Reason: "google_sessions_revoked", RevokeGrants: true}
	case TokensRevoked:
		name, act = "tokens-revoked", Act{Reason: "google_tokens_revoked", Forget: true}
	case TokenRevoked:
		name, act = "token-revoked", Act{Reason: "google_token_revoked", Forget: true}
	case AccountPurged:
		name, act = "account-purged", Act{Reason: "google_account_purged", Forget: true, RevokeGrants: true}
	case AccountDisabled:
		name, act = "account-disabled", Act{Reason: "google_account_disabled"}
	case AccountEnabled:
		return event{name: "account-enabled"}, nil // a sign-in repairs what was marked
	case CredentialChangeRequired:
		return event{name: "account-credential-change-required"}, nil // Google ends sessions itself where it must, and says so
	case Verification:
		name = "verification"
	default:
		return event{name: "unknown", note: "unknown event type"}, nil
	}
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return event{}, fmt.Errorf("reading event %s: %w", name, err)
	}
	switch {
	case uri == Verification:
		return event{name: name, note: "state " + clip(p.State)}, nil
	case p.Subject == nil:
		return event{}, fmt.Errorf("event %s has no subject", name)
	case uri == TokenRevoked:
		return tokenEvent(name, act, p)
	case uri == AccountDisabled && p.Reason == "hijacking":
		act.Reason, act.RevokeGrants = "google_account_hijacked", true
	}
	// iss-sub, or id_token_claims with sub: the key is Google's sub, never an
	// e-mail address. The issuer of ID tokens is that of events without the slash.
	if t := p.Subject.Type; t != "iss-sub" && t != "id_token_claims" {
		return event{name: name, note: "unknown subject type"}, nil
	}
	if strings.TrimSuffix(p.Subject.Issuer, "/") != strings.TrimSuffix(issuer, "/") {
		return event{name: name, note: "subject of another issuer"}, nil
	}
	if act.Subject = p.Subject.Sub; act.Subject == "" || len(act.Subject) > maxSub || strings.ContainsRune(act.Subject, 0) {
		return event{}, fmt.Errorf("event %s has no usable sub", name)
	}
	return event{name: name, act: &act}, nil
}

// tokenEvent reads the identifier of one refresh token ("OAuth token
// identifiers"): its first 16 characters or a double SHA-512, in base64 or, as
// earlier versions of the page had it, in hex.
func tokenEvent(name string, act Act, p payload) (event, error) {
	if p.Subject.TokenType != "refresh_token" {
		return event{name: name, note: "not a refresh token"}, nil
	}
	value := p.Subject.Token
	switch p.Subject.TokenAlg {
	case "prefix":
		if len(value) != connection.PrefixLen {
			return event{}, fmt.Errorf("event %s has a prefix of a wrong length", name)
		}
		act.Token.Prefix = connection.PrefixID(value)
	case "hash_base64_sha512_sha512", "hash_SHA512_double":
		if act.Token.Hash = doubleHash(value); act.Token.Hash == nil {
			return event{}, fmt.Errorf("event %s has no SHA-512", name)
		}
	default:
		return event{name: name, note: "unknown token identifier"}, nil
	}
	return event{name: name, act: &act}, nil
}

func doubleHash(value string) []byte {
	const size = 64
	if len(value) == hex.EncodedLen(size) {
		if b, err := hex.DecodeString(value); err == nil {
			return b
		}
	}
	value = strings.TrimRight(value, "=")
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := e.Strict().DecodeString(value); err == nil && len(b) == size {
			return b
		}
	}
	return nil
}

// clip bounds what is logged of a verification's state: the operator chose it.
func clip(s string) string {
	if r := []rune(strings.ToValidUTF8(s, "?")); len(r) > maxState {
		return string(r[:maxState])
	}
	return strings.ToValidUTF8(s, "?")
}
