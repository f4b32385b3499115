package audit

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/tenant"
)

// Kind says what happened. The set is closed.
type Kind string

const (
	Login          Kind = "login"
	ConsentGranted Kind = "consent.granted"
	ConsentDenied  Kind = "consent.denied"
	SessionEnded   Kind = "session.ended" // by its person, by a new sign-in, to keep their number, by a security event of Google, or with many

	CodeRedeemed  Kind = "grant.code_redeemed"
	Refreshed     Kind = "grant.refreshed"
	ReplayRevoked Kind = "grant.replay_revoked" // a code or a refresh token was used again
	GrantRevoked  Kind = "grant.revoked"

	ClientRegistered Kind = "client.registered"
	ClientChanged    Kind = "client.changed"
	ClientDeleted    Kind = "client.deleted"

	ExchangeIssued  Kind = "exchange.issued"
	ExchangeRefused Kind = "exchange.refused"
	ToolCalled      Kind = "tool.called" // as the resource server reports it

	Linked       Kind = "connection.linked"
	Relinked     Kind = "connection.relinked"
	Renewed      Kind = "connection.refreshed" // a new token from Google
	NeedsReauth  Kind = "connection.needs_reauth"
	Disconnected Kind = "connection.disconnected"
	LinkRefused  Kind = "connection.refused" // a trip that was to link or repair an account, and changed nothing
	DefaultSet   Kind = "connection.default_set"
	Renamed      Kind = "connection.renamed"

	ApprovalAsked    Kind = "approval.asked" // of a person, about one act of a tool
	ApprovalGiven    Kind = "approval.approved"
	ApprovalDeclined Kind = "approval.declined"
	ApprovalUsed     Kind = "approval.used" // the resource server was told, once

	KeyCreated   Kind = "key.created"
	KeyPublished Kind = "key.published"
	KeyActivated Kind = "key.activated"
	KeyRetired   Kind = "key.retired"
	KeyDeleted   Kind = "key.deleted"

	AdminAct        Kind = "admin.act"
	AdminToken      Kind = "admin.token" // asked for at the admin API, given or refused
	SubjectExported Kind = "subject.exported"
	SubjectErasing  Kind = "subject.erasing" // an erasure begins: everything but what Google has to take back is gone
	SubjectErased   Kind = "subject.erased"  // the tombstone: the person's id and nothing else
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{
		Login, SessionEnded, ConsentGranted, ConsentDenied, CodeRedeemed, Refreshed, ReplayRevoked, GrantRevoked, ClientRegistered, ClientChanged, ClientDeleted,
		ExchangeIssued, ExchangeRefused, ToolCalled, Linked, Relinked, Renewed, NeedsReauth, Disconnected, LinkRefused, DefaultSet, Renamed,
		ApprovalAsked, ApprovalGiven, ApprovalDeclined, ApprovalUsed, KeyCreated, KeyPublished, KeyActivated, KeyRetired, KeyDeleted, AdminAct, AdminToken, SubjectExported, SubjectErasing, SubjectErased,
	}
}

// Actor says on whose word it happened.
type Actor string

const (
	Person         Actor = "person"
	Client         Actor = "client"
	ResourceServer Actor = "resource_server"
	Operator       Actor = "operator"
	Google         Actor = "google"
	System         Actor = "system" // the server by itself
)

// Administrator is the operator who acts by the admin API: its client there.
func Administrator(id string) Actor { return Operator + ":" + Actor(id) }

// OK is the outcome of an act that was done; others are error codes.
const OK = "ok"

// Event is one entry. Empty members say nothing.
type Event struct {
	Tenant          tenant.ID `json:"-"`
	Kind            Kind      `json:"kind"`
	At              time.Time `json:"at"` // the database's, in microseconds
	Actor           Actor     `json:"actor"`
	Outcome         string    `json:"outcome"`
	Detail          string    `json:"detail,omitempty"` // a reason or a key id
	Subject         uuid.UUID `json:"subject,omitzero"`
	Client          string    `json:"client,omitempty"`
	Grant           uuid.UUID `json:"grant,omitzero"`
	Connection      uuid.UUID `json:"connection,omitzero"`
	Resource        string    `json:"resource,omitempty"`
	Scopes          []string  `json:"scopes,omitempty"`
	Tool            string    `json:"tool,omitempty"`
	DurationMS      int32     `json:"duration_ms,omitempty"`
	RequestID       string    `json:"request_id,omitempty"`
	CallerRequestID string    `json:"caller_request_id,omitempty"` // of the resource server's request behind it
	Source          string    `json:"source,omitempty"`            // network of the client's address
}

const (
	maxText   = 2048 // bytes of a client id or a resource
	maxShort  = 64   // bytes of a tool's name or a request id
	maxDetail = 200
	maxScopes = 100
)

// Clean returns the event as it can be stored: what came from outside is cut
// to its limits and freed of what is not printable, so that nobody can word a
// request whose event the database refuses.
func (e Event) Clean() Event {
	if e.Outcome == "" {
		e.Outcome = OK
	}
	e.Outcome, e.Detail = printable(e.Outcome, maxShort), printable(e.Detail, maxDetail)
	e.Client, e.Resource = printable(e.Client, maxText), printable(e.Resource, maxText)
	e.Tool, e.RequestID, e.CallerRequestID, e.Source = printable(e.Tool, maxShort), printable(e.RequestID, maxShort), printable(e.CallerRequestID, maxShort), printable(e.Source, maxShort)
	if len(e.Scopes) > maxScopes {
		e.Scopes = e.Scopes[:maxScopes]
	}
	if len(e.Scopes) > 0 {
		scopes := make([]string, len(e.Scopes))
		for i, s := range e.Scopes {
			scopes[i] = printable(s, maxText)
		}
		e.Scopes = scopes
	}
	return e
}

// printable cuts a text to at most n bytes of printable ASCII.
func printable(s string, n int) string {
	if len(s) <= n && plain(s) {
		return s
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return clean[:min(len(clean), n)]
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// encoding is what is hashed: each member that says something, in a fixed
// order, with its name and lengths before it. No two events have the same
// encoding, and a member that a later version adds leaves older ones as they
// were.
func (e Event) encoding() []byte {
	out := []byte("latchkey audit event v1")
	put := func(name string, values ...string) {
		out = append(out, byte(len(name))) //nolint:gosec // names are ours
		out = append(out, name...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(values))) //nolint:gosec // bounded by Clean
		for _, v := range values {
			out = binary.BigEndian.AppendUint32(out, uint32(len(v))) //nolint:gosec // bounded by Clean
			out = append(out, v...)
		}
	}
	text := func(name, value string) {
		if value != "" {
			put(name, value)
		}
	}
	id := func(name string, value uuid.UUID) {
		if value != uuid.Nil {
			put(name, string(value[:]))
		}
	}
	id("tenant", e.Tenant.UUID())
	text("kind", string(e.Kind))
	put("at", fmt.Sprint(e.At.UnixMicro()))
	text("actor", string(e.Actor))
	text("outcome", e.Outcome)
	text("detail", e.Detail)
	id("subject", e.Subject)
	text("client", e.Client)
	id("grant", e.Grant)
	id("connection", e.Connection)
	text("resource", e.Resource)
	if len(e.Scopes) > 0 {
		put("scopes", e.Scopes...)
	}
	text("tool", e.Tool)
	if e.DurationMS != 0 {
		put("duration_ms", fmt.Sprint(e.DurationMS))
	}
	text("request_id", e.RequestID)
	text("caller_request_id", e.CallerRequestID)
	text("source", e.Source)
	return out
}
