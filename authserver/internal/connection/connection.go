package connection

import (
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
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

// MaxPerSubject is how many Google accounts a person may have here.
const MaxPerSubject = 20

// MaxAlias is the longest alias, in characters.
const MaxAlias = 40

// Record is a connection with its credential as stored: tokens are sealed.
type Record struct {
	Ref
	Person         secret.Bytes // the subject's secret; empty when it is destroyed
	GoogleSubject  string
	HostedDomain   string // Google's hd claim at the last sign-in
	SealedEmail    []byte
	Alias          string // the person's name for the account; unique per person
	IsDefault      bool
	Linked         bool // false: it was disconnected, or its first sign-in was not completed
	UpstreamClient string
	SealedRefresh  []byte // nil when Google never gave one
	SealedAccess   []byte
	AccessExpires  time.Time
	GoogleScopes   oauth.Scopes
	Status         Status
	LastError      string
	Version        int64
	RefreshExpires time.Time // when Google ends the refresh token by itself; zero: it named no end
	Refreshed      time.Time // last sign-in or refresh; zero: never
}

// Handle is the name of the connection in the exchange and in forms. It opens
// nothing: it is looked up among the person's own.
func (r *Record) Handle() string { return handlePrefix + r.Connection.String() }

const handlePrefix = "acc_"

// ParseHandle reads a handle in its one spelling.
func ParseHandle(s string) (uuid.UUID, bool) {
	raw, ok := strings.CutPrefix(s, handlePrefix)
	id, err := uuid.Parse(raw)
	return id, ok && err == nil && id.String() == raw
}

// Alive reports whether what the record says of Google still holds for the
// client that its tenant signs people in with now: what another client was
// granted is nothing to this one.
func (r *Record) Alive(upstream string) bool {
	return r.Linked && r.Status == Active && r.UpstreamClient == upstream
}

// Covers reports whether the stored refresh token stands for what Google has
// now granted through the client, so that an answer without one is enough: a
// refresh token covers what was granted when Google gave it (DESIGN §5), and one
// that Google is about to end is not enough.
func (r *Record) Covers(upstream string, granted oauth.Scopes, now time.Time) bool {
	return r.Alive(upstream) && !r.Ending(now) && r.SealedRefresh != nil && r.GoogleScopes.ContainsAll(granted)
}

// Binding is the place of a sealed value of the connection.
func (r *Record) Binding(p vault.Purpose) vault.Binding {
	return vault.Binding{Tenant: r.Tenant, Subject: r.Subject, Person: r.Person, Connection: r.Connection, Purpose: p}
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
	SealedEmail    []byte
	HostedDomain   string // Google's hd claim
}

// Refreshed is the outcome of a refresh, published only if the version is
// still the one the refresh began with and the lease is still ours.
type Refreshed struct {
	Ref
	Version       int64        // version when the lease was taken
	Owner         uuid.UUID    // lease owner
	SealedRefresh []byte       // nil: keep the stored one
	RefreshID     RefreshID    // of SealedRefresh
	SealedAccess  []byte       // nil: keep the stored one, which may be sealed anew since it was read
	AccessExpires time.Time    // of SealedAccess
	GoogleScopes  oauth.Scopes // empty: unchanged

	RefreshExpires time.Time // zero: unchanged, or without an end where SealedRefresh is new
}

var (
	// ErrNotFound says that there is no such connection of this subject.
	ErrNotFound = errors.New("no such connection")
	// ErrAliasTaken says that the person has another account of that name.
	ErrAliasTaken = errors.New("the person has another account of that name")
	// ErrTooMany says that the person has MaxPerSubject accounts.
	ErrTooMany = errors.New("too many accounts")
	// ErrLost says that another writer changed the credential first: read again.
	ErrLost = errors.New("credential changed meanwhile")
)
