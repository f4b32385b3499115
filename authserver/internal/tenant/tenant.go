package tenant

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/pkg/oauth"
	"latchkey/pkg/scope"
)

// ID names a tenant in every store method. The zero ID is no tenant.
type ID struct{ id uuid.UUID }

// DefaultID is the tenant that every deployment has, created by the first
// migration.
var DefaultID = ID{uuid.MustParse("00000000-0000-7000-8000-000000000001")}

// ParseID parses the canonical text form.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, errors.New("tenant id is not in canonical form")
	}
	u, err := uuid.Parse(s)
	if err != nil || u == uuid.Nil || u.String() != s {
		return ID{}, errors.New("tenant id is not in canonical form")
	}
	return ID{u}, nil
}

// FromUUID wraps an id read from the database or a sealed value.
func FromUUID(u uuid.UUID) ID { return ID{u} }

// UUID is the id as the database has it.
func (i ID) UUID() uuid.UUID { return i.id }

// IsZero reports whether this is no tenant.
func (i ID) IsZero() bool { return i.id == uuid.Nil }

func (i ID) String() string { return i.id.String() }

// Resource is a protected resource of a tenant.
type Resource struct {
	Canonical oauth.Resource
	Aliases   []string // other spellings that clients send (PROTOCOL 3.6 no. 2); exact strings
	Product   string   // the only product served there; "": all
}

// Lifetimes are a tenant's token lifetimes.
type Lifetimes struct {
	Code            time.Duration // at most 60 s
	AccessToken     time.Duration
	RefreshIdle     time.Duration // a refresh token unused for so long is dead
	RefreshAbsolute time.Duration // the grant's end, whatever its use
	RefreshGrace    time.Duration // a repeated refresh is answered alike for so long
	RefreshReplays  int           // how many repeats per generation
	ClientUnused    time.Duration // a client that registered itself ends so long after, if no person ever used it
	ClientUsed      time.Duration // or so long after its last use; longer than RefreshIdle, so no living token dies with it
	SessionIdle     time.Duration // a browser session unused for so long is over
	SessionAbsolute time.Duration // its end, whatever its use
}

// DefaultLifetimes are those of DESIGN §4. RefreshReplays is 16 and not 5:
// docs/decisions/0003 says why.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Code: time.Minute, AccessToken: 10 * time.Minute,
		RefreshIdle: 30 * 24 * time.Hour, RefreshAbsolute: 180 * 24 * time.Hour,
		RefreshGrace: time.Minute, RefreshReplays: 16,
		SessionIdle: time.Hour, SessionAbsolute: 24 * time.Hour,
		ClientUnused: 7 * 24 * time.Hour, ClientUsed: 90 * 24 * time.Hour,
	}
}

// AdmissionMode says which client ID metadata documents a tenant admits. The
// zero mode admits none.
type AdmissionMode string

const (
	AdmitNone       AdmissionMode = "disabled"
	AdmitListed     AdmissionMode = "allow-list"  // the built-in catalogue and the tenant's hosts
	AdmitReportOnly AdmissionMode = "report-only" // all, and logs what allow-list would refuse
	AdmitOpen       AdmissionMode = "open"
)

// Admission is a tenant's policy for client ID metadata documents (MCP
// 2026-07-28, trust policies).
type Admission struct {
	Mode  AdmissionMode
	Hosts []string // exact hosts, with a port if it is not 443
}

// Enabled reports whether any document can be admitted.
func (a Admission) Enabled() bool {
	return a.Mode == AdmitListed || a.Mode == AdmitReportOnly || a.Mode == AdmitOpen
}

// Status of a tenant. The zero status is that of one whose settings could not be
// read: nobody knows what it allows, so everything is doubt.
type Status string

const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// Upstream says with which OAuth client people of a tenant sign in at Google: its
// own or the deployment's, and never one in place of the other.
type Upstream struct {
	Own        bool
	ClientID   string // "" when the tenant has said its own and has none yet
	Generation int64  // of its own; grows with each new id or secret
	Testing    bool   // the consent screen at Google is in testing: refresh tokens end after seven days
}

// Tenant is one customer of the deployment. It is immutable once in a
// Directory.
type Tenant struct {
	ID            ID
	Slug          string
	Name          string // for people
	Status        Status
	Host          string // of its own; "": below the deployment's issuer
	Upstream      Upstream
	Policy        Policy
	Issuer        oauth.IssuerURL
	Resources     []Resource
	DefaultScopes oauth.Scopes // granted when a client names none (RFC 6749 §3.3); within Profile
	Profile       scope.Profile
	Lifetimes     Lifetimes
	Documents     Admission

	AccessTokenAlg string // signs access tokens: ES256, EdDSA or RS256; default ES256
}

// Serves returns nil when the tenant takes part, else why not. A suspended one
// refuses with words that make no client throw its tokens away: they work again
// when the suspension ends.
func (t *Tenant) Serves() error {
	switch t.Status {
	case Active:
		return nil
	case Suspended:
		return oauth.NewError(oauth.AccessDenied, "Access here is suspended. Ask your administrator; nothing has been deleted.")
	}
	return oauth.Unavailable(errors.New("the tenant's settings could not be read"))
}

// ErrUnknownResource says that a resource parameter names nothing of this
// tenant: invalid_target (RFC 8707 §2).
var ErrUnknownResource = errors.New("unknown resource")

// Resource maps a request's resource parameter to the canonical identifier.
// An empty parameter means the tenant's only resource of everything; with
// several it is ErrUnknownResource.
func (t *Tenant) Resource(requested string) (oauth.Resource, error) {
	if requested == "" {
		var whole []oauth.Resource
		for _, r := range t.Resources {
			if r.Product == "" {
				whole = append(whole, r.Canonical)
			}
		}
		if len(whole) == 1 {
			return whole[0], nil
		}
		return oauth.Resource{}, ErrUnknownResource
	}
	if len(requested) > oauth.MaxURLBytes {
		return oauth.Resource{}, ErrUnknownResource
	}
	spelled := normalHost(requested)
	for _, r := range t.Resources {
		if spelled == r.Canonical.String() || slices.Contains(r.Aliases, spelled) {
			return r.Canonical, nil
		}
	}
	return oauth.Resource{}, ErrUnknownResource
}

// normalHost lowers scheme and authority, nothing else: clients may send them
// in upper case (MCP 2025-11-25, canonical server URI).
func normalHost(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return strings.ToLower(scheme) + "://" + strings.ToLower(rest[:end]) + rest[end:]
}

// DefaultAliases are the spellings of a canonical resource that real clients
// send: with a trailing slash, and the bare origin where the host has only
// this resource (PROTOCOL 3.6 nos. 1-3).
func DefaultAliases(r oauth.Resource, onlyOnHost bool) []string {
	aliases := []string{r.String() + "/"}
	if onlyOnHost && r.Path() != "" {
		aliases = append(aliases, r.Origin(), r.Origin()+"/")
	}
	return aliases
}
