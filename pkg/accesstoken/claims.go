package accesstoken

import (
	"time"

	"latchkey/pkg/oauth"
)

// Type is the JOSE header's typ (RFC 9068 §2.1).
const Type = "at+jwt"

// Claims is the wire form of an access token (RFC 9068 §2.2, DESIGN §4). aud is
// always one string; there is no personal data.
type Claims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ClientID  string `json:"client_id"`
	Scope     string `json:"scope"`
	Expiry    int64  `json:"exp"` // seconds since the epoch
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf,omitempty"` // not issued today, but honoured
	ID        string `json:"jti"`
	Tenant    string `json:"tid"`
	Grant     string `json:"gid,omitempty"` // empty for a client's own token only
	Granted   int64  `json:"gat,omitempty"` // when the grant was made, by the database's clock, in microseconds since the epoch
}

// ClientSubject is the subject of a token that a client got for itself
// (client_credentials). People's subjects are UUIDs, so the two never collide
// (RFC 9068 §5, OAuth 2.1 §7.4).
func ClientSubject(clientID string) string { return "client:" + clientID }

// Principal is who a verified token speaks for. Only Verifier makes one.
type Principal struct {
	Tenant, Subject, ClientID, Grant, TokenID string
	Audience                                  oauth.Resource // the one resource the token is for
	Scopes                                    oauth.Scopes
	Issued, Expires                           time.Time
	// Granted is when the grant was made. A token that does not say counts as
	// granted when it was issued, as does a client's own.
	Granted time.Time
}

// Machine reports whether the token is a client's own: no person, and so no
// Google account, stands behind it.
func (p *Principal) Machine() bool { return p.Grant == "" }
