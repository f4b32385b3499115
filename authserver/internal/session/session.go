package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// MaxPerSubject is how many sessions a person may have at once, if the tenant
// does not allow fewer: beginning one more ends the oldest.
const MaxPerSubject = 20

// ErrNone says that nobody is signed in in this browser.
var ErrNone = errors.New("no session")

// Session is a person who is signed in in a browser.
type Session struct {
	ID      uuid.UUID // names it on the person's page; opens nothing
	Subject uuid.UUID

	cookie string // the cookie's value
}

// FormToken is the token of this session's forms of a name; ValidFormToken
// checks it.
func (s *Session) FormToken(form string) string { return web.FormToken(s.cookie, form) }

// ValidFormToken reports whether a form's token belongs to this session.
func (s *Session) ValidFormToken(form, token string) bool {
	return web.ValidFormToken(s.cookie, form, token)
}

// New is a session to be stored.
type New struct {
	SecretHash [sha256.Size]byte
	ID         uuid.UUID
	Subject    uuid.UUID
	Browser    string            // in words
	Ends       [sha256.Size]byte // session of the same browser that ends with this one's begin; zero: none
	Most       int               // sessions of the person, this one included
}

// Life is how long a session lives.
type Life struct{ Idle, Absolute time.Duration }

// Store is what sessions need of the database. Each method is one statement or
// one transaction.
type Store interface {
	BeginSession(ctx context.Context, t tenant.ID, n New) error
	// CountSessions counts the sessions of a person that have not ended, but for the
	// one with that secret.
	CountSessions(ctx context.Context, t tenant.ID, subject uuid.UUID, but [sha256.Size]byte) (int, error)
	// UseSession notes a living session's use. It returns ErrNone for one that
	// is unknown, has ended or was idle for too long.
	UseSession(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, life Life) (*Session, error)
	EndSession(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) error
}

// Sessions are the sessions of all tenants. Store is required.
type Sessions struct{ Store Store }

// cookieName: tenants that share an origin share its cookies, so each has a name of
// its own; the row is looked up with the tenant besides.
func cookieName(t *tenant.Tenant) string {
	if t.ID == tenant.DefaultID {
		return "latchkey-session"
	}
	return "latchkey-session-" + t.Slug
}

// Current returns the browser's session, or ErrNone. Any other error is doubt.
func (s *Sessions) Current(r *http.Request, t *tenant.Tenant) (*Session, error) {
	value := web.Cookie(r, t.Issuer, cookieName(t))
	if !secret.IsRandom(value) {
		return nil, ErrNone
	}
	found, err := s.Store.UseSession(r.Context(), t.ID, sha256.Sum256([]byte(value)), Life{t.Lifetimes.SessionIdle, t.Lifetimes.SessionAbsolute})
	if errors.Is(err, ErrNone) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("reading session: %w", err))
	}
	found.cookie = value
	return found, nil
}

// Begin signs a person in: always under a new id, and the session that this
// browser had before is over (OWASP ASVS 7.2.4).
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, subject uuid.UUID) error {
	value := secret.Random()
	n := New{SecretHash: sha256.Sum256([]byte(value)), ID: uuid.Must(uuid.NewV7()), Subject: subject, Browser: describe(r.UserAgent()), Most: MaxPerSubject}
	if before := web.Cookie(r, t.Issuer, cookieName(t)); secret.IsRandom(before) {
		n.Ends = sha256.Sum256([]byte(before))
	}
	switch most := t.Policy.SessionsMax; {
	case most == 0:
	case t.Policy.Reports(tenant.BySessions):
		others, err := s.Store.CountSessions(r.Context(), t.ID, subject, n.Ends)
		if err != nil {
			return oauth.Unavailable(fmt.Errorf("counting sessions: %w", err))
		}
		if others >= most {
			t.Refuses(r.Context(), tenant.BySessions, "")
		}
	default:
		n.Most = min(most, MaxPerSubject)
	}
	if err := s.Store.BeginSession(r.Context(), t.ID, n); err != nil {
		return oauth.Unavailable(fmt.Errorf("beginning session: %w", err))
	}
	web.SetCookie(w, t.Issuer, cookieName(t), value, t.Lifetimes.SessionAbsolute)
	return nil
}

// End signs the person out in this browser.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	if value := web.Cookie(r, t.Issuer, cookieName(t)); secret.IsRandom(value) {
		if err := s.Store.EndSession(r.Context(), t.ID, sha256.Sum256([]byte(value))); err != nil {
			return oauth.Unavailable(fmt.Errorf("ending session: %w", err))
		}
	}
	s.Forget(w, t)
	return nil
}

// Forget takes the cookie from the browser of a person whose sessions are gone.
func (s *Sessions) Forget(w http.ResponseWriter, t *tenant.Tenant) {
	web.ClearCookie(w, t.Issuer, cookieName(t))
}
