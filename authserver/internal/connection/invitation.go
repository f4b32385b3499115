package connection

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

const (
	// InvitationLife is how long a link works.
	InvitationLife = 10 * time.Minute
	// MaxInvitations is how many unused links a person has at most: a new one
	// takes the place of the oldest. A program that calls in vain all day leaves
	// no more than these behind, and the link it was told last works.
	MaxInvitations = 10
	// ConnectPath is where links lead, below the issuer.
	ConnectPath = "/connect/"
)

// ErrNoInvitation says that a link is unknown, used or over.
var ErrNoInvitation = errors.New("no such invitation")

// Invitation is what a link asks a person for: to sign in at Google once more
// with an account, to allow more there, or to add an account. It signs nobody
// in: who follows it proves that they are its person (PROTOCOL RS-X3), at Google
// where the account is the one they sign in with, else by a session: a further
// account is a mailbox that may get another holder, who is not the person.
type Invitation struct {
	Ref             // Connection is zero when an account is to be added
	ClientID string // the app that needs it
	Reason   string
	Scopes   oauth.Scopes // Google scopes that are missing
	AppName  string       // as the person was shown it; only when read
	OfPerson bool         // only for its person's own session; only when read
}

// Adds reports whether an account is to be added.
func (i *Invitation) Adds() bool { return i.Connection == uuid.Nil }

// InvitationStore keeps invitations under the hash of their secret.
type InvitationStore interface {
	InsertInvitation(ctx context.Context, secretHash [sha256.Size]byte, i Invitation, life time.Duration, most int) error
	// Invitation reads one without using it up. It returns ErrNoInvitation.
	Invitation(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) (*Invitation, error)
	// UseInvitation uses one up, by one conditional statement: of concurrent
	// calls one wins, the others get ErrNoInvitation. One that is OfPerson is used
	// up only for its own subject, whom the browser's session names; uuid.Nil is
	// nobody.
	UseInvitation(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, subject uuid.UUID) (*Invitation, error)
}

// Invitations makes links. Every field is required.
type Invitations struct {
	Store   InvitationStore
	Tenants func() *tenant.Directory
}

// Link makes a one-time link. It carries 256 random bits and nothing else.
func (l *Invitations) Link(ctx context.Context, i Invitation) (string, error) {
	t, ok := l.Tenants().ByID(i.Tenant)
	if !ok {
		return "", errors.New("making a link: no such tenant")
	}
	value := secret.Random()
	if err := l.Store.InsertInvitation(ctx, sha256.Sum256([]byte(value)), i, InvitationLife, MaxInvitations); err != nil {
		return "", fmt.Errorf("making a link: %w", err)
	}
	return t.Issuer.Endpoint(ConnectPath + value), nil
}
