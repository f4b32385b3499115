package grant

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// New is a grant to be written, its authorization code not yet redeemed.
type New struct {
	Tenant     tenant.ID
	ID         uuid.UUID // version 7
	ClientID   string
	Subject    uuid.UUID
	Connection uuid.UUID
	Resource   oauth.Resource
	Scopes     oauth.Scopes
	Offline    bool // refresh tokens may be issued

	RedirectURI   string // as requested; the token request must repeat it
	CodeChallenge string // S256, 43 characters

	Lifetimes tenant.Lifetimes
}

// Grant is what a successful claim returns: enough to issue tokens.
type Grant struct {
	Tenant     tenant.ID
	ID         uuid.UUID
	ClientID   string
	Subject    uuid.UUID
	Connection uuid.UUID
	Resource   oauth.Resource
	Scopes     oauth.Scopes
	Offline    bool
	Generation int32 // of the refresh token to issue now
	Expires    time.Time
	Created    time.Time // by the database's clock, in microseconds
}

// Redemption redeems an authorization code. Everything in it stands in the
// WHERE of one UPDATE: a wrong client, redirect URI or verifier neither
// redeems nor burns the code.
type Redemption struct {
	Tenant        tenant.ID
	ID            uuid.UUID
	ClientID      string
	RedirectURI   string         // "" when the request has none (OAuth 2.1 §4.1.3)
	CodeChallenge string         // S256 of the presented verifier
	Resource      oauth.Resource // zero when the request has none (RFC 8707 §2.2)
	RefreshIdle   time.Duration
	Assertion     *client.AssertionID // of the client, to be used up with the claim; nil without
}

// Rotation rotates a refresh token. A repeat inside Grace derives the same
// successor; beyond it, or beyond Replays repeats, the grant is revoked.
type Rotation struct {
	Tenant      tenant.ID
	ID          uuid.UUID
	Generation  int32 // of the presented token
	ClientID    string
	Resource    oauth.Resource // zero when the request has none
	Scopes      oauth.Scopes   // asked for; must be granted ones (RFC 6749 §6)
	Limited     bool           // whether the tenant's policy limits scopes,
	Limit       oauth.Scopes   // and to which: one of the granted ones at least
	Grace       time.Duration
	Replays     int
	RefreshIdle time.Duration
	Assertion   *client.AssertionID // of the client, to be used up with the claim; nil without
}

// State is a living grant as introspection shows it.
type State struct {
	Grant
	RotatedAt      time.Time // when the live refresh token was issued
	RefreshExpires time.Time // when it ends unless it is used
}

// The ways a claim is refused. The store finds them out with a second
// statement after the conditional one changed nothing.
var (
	ErrNotFound      = errors.New("no such grant")                                 // invalid_grant
	ErrExpired       = errors.New("grant or code expired")                         // invalid_grant
	ErrRevoked       = errors.New("grant revoked")                                 // invalid_grant
	ErrRedeemed      = errors.New("code already redeemed")                         // invalid_grant; the first grant is revoked if late
	ErrMismatch      = errors.New("client, redirect URI or verifier do not match") // invalid_grant, nothing burnt
	ErrReused        = errors.New("refresh token reused")                          // invalid_grant; family revoked
	ErrWrongResource = errors.New("resource was not granted")                      // invalid_target, nothing burnt
	ErrWrongScope    = errors.New("scope was not granted")                         // invalid_scope, nothing burnt
	ErrForbidden     = errors.New("no granted scope is allowed by the tenant")     // invalid_scope, nothing burnt
)
