package connection

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// Ref names one connection of one subject of one tenant.
type Ref struct {
	Tenant     tenant.ID
	Subject    uuid.UUID
	Connection uuid.UUID
}

// Status of a credential.
type Status string

const (
	Active      Status = "active"
	NeedsReauth Status = "needs_reauth" // Google answered invalid_grant: the person must sign in again
	Revoked     Status = "revoked"
)

// Record is a connection with its credential as stored: tokens are sealed.
type Record struct {
	Ref
	GoogleSubject  string
	SealedEmail    []byte
	IsDefault      bool
	UpstreamClient string
	SealedRefresh  []byte // nil when Google never gave one
	SealedAccess   []byte
	AccessExpires  time.Time
	GoogleScopes   oauth.Scopes
	Status         Status
	LastError      string
	Version        int64
	RefreshExpires time.Time // when Google ends the refresh token by itself; zero: it named no end
}

// Link is what a completed Google sign-in stores.
type Link struct {
	Ref
	UpstreamClient string
	SealedRefresh  []byte    // nil: keep the stored one (Google sends it once)
	RefreshID      RefreshID // of SealedRefresh
	SealedAccess   []byte
	AccessExpires  time.Time
	GoogleScopes   oauth.Scopes
	RefreshExpires time.Time // of SealedRefresh; zero: Google named no end
}

// Refreshed is the outcome of a refresh, published only if the version is
// still the one the refresh began with and the lease is still ours.
type Refreshed struct {
	Ref
	Version       int64     // version when the lease was taken
	Owner         uuid.UUID // lease owner
	SealedRefresh []byte    // nil: keep the stored one
	RefreshID     RefreshID // of SealedRefresh
	SealedAccess  []byte
	AccessExpires time.Time
	GoogleScopes  oauth.Scopes // empty: unchanged

	RefreshExpires time.Time // zero: unchanged, or without an end where SealedRefresh is new
}

var (
	// ErrNotFound says that there is no such connection of this subject.
	ErrNotFound = errors.New("no such connection")
	// ErrLost says that another writer changed the credential first: read again.
	ErrLost = errors.New("credential changed meanwhile")
)
