package approval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/consent"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/exchange"
	"latchkey/pkg/secret"
)

const (
	// Lifetime is how long a question can be answered, from when it was asked last.
	Lifetime = 10 * time.Minute
	// Use is how long an answer can be fetched.
	Use = 5 * time.Minute
	// Lives is how many lifetimes old a question becomes by being asked again, at most:
	// then it is asked anew, with another link and under the data key of that time.
	Lives = 6
	// Most is how many questions a person has under way: a new one takes the place of
	// the oldest of the app that has most.
	Most = 10
	// Path is where links lead, below the issuer.
	Path = "/approve/"
)

var (
	// ErrNone says that there is no such question, or none any more.
	ErrNone = errors.New("no such question")
	// ErrOtherQuestion says that the digest stands for another question.
	ErrOtherQuestion = errors.New("the digest is that of another question")
)

// Digest names an act within a grant. It is computed by the resource server.
type Digest [sha256.Size]byte

// ParseDigest reads a digest as exchange.ParseApprovalForm has checked it.
func ParseDigest(s string) (Digest, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return Digest{}, errors.New("not a digest")
	}
	return Digest(b), nil
}

// prefixBytes are enough to tell acts apart in the audit trail.
const prefixBytes = 8

// Prefix is what the audit trail has of a digest.
func (d Digest) Prefix() string { return hex.EncodeToString(d[:prefixBytes]) }

// Act is what is asked about: all of it has to agree where an answer is used.
type Act struct {
	connection.Ref // whose, and with which Google account
	Grant          uuid.UUID
	ClientID       string // of the grant
	Tool           string
	Digest         Digest
}

// Question is an act about which its person is asked, as stored.
type Question struct {
	Act
	SecretHash [sha256.Size]byte
	Sealed     []byte                  // the secret of the link, and the question's text
	Status     exchange.ApprovalStatus // only when read
	AppName    string                  // as the person was shown it; only when read
	// Destination is where the person was sent when they allowed the app: unlike its
	// name, no choice of the app's alone; only when read.
	Destination string
}

// binding is the place of the sealed question. Moved to another row it does not open.
func (a Act) binding(person secret.Bytes) vault.Binding {
	return vault.Binding{Tenant: a.Tenant, Subject: a.Subject, Person: person, Connection: a.Connection, Purpose: vault.ApprovalQuestion,
		Context: a.Grant.String() + " " + hex.EncodeToString(a.Digest[:]) + " " + a.Tool}
}

// Answer is what a person said, and where.
type Answer struct {
	Status  exchange.ApprovalStatus // Approved or Declined
	Subject uuid.UUID
	Session uuid.UUID // which ends the word when it ends
}

// Store keeps questions. Each method is one transaction that writes its audit event;
// a question of a grant that does not live, or whose time is over, is ErrNone.
type Store interface {
	// TakeAnswer ends a question that was answered and returns the answer, by one
	// conditional statement: of concurrent calls one wins. An approval from a session
	// that has ended is none.
	TakeAnswer(ctx context.Context, a Act) (exchange.ApprovalStatus, error)
	// AskAgain gives a question that waits its whole lifetime anew and returns what
	// was sealed. One that is Lives lifetimes old is ErrNone.
	AskAgain(ctx context.Context, a Act, life time.Duration) ([]byte, error)
	// InsertQuestion stores a new question, unless one about the act is under way:
	// then it reports false. Beyond most the person's oldest ones go, of the app that
	// has most.
	InsertQuestion(ctx context.Context, q Question, life time.Duration, most int) (bool, error)
	// Question reads the one of a link and changes nothing. A yes from a session that
	// has ended is none.
	Question(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) (*Question, error)
	// AnswerQuestion writes the answer of the question's own person, by one
	// conditional statement: the first counts, and a no takes back a yes that was
	// not used.
	AnswerQuestion(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, a Answer, use time.Duration) error
}

// Approvals asks and answers. Every field is required.
type Approvals struct {
	Store   Store
	Vault   connection.Sealer
	Tenants func() *tenant.Directory
}

// rounds bounds how often Ask begins anew when others ask or answer at the same moment.
const rounds = 4

// Ask returns the person's word about the act, and uses it up; where there is none, a
// link by which the person gives it. Asking again answers the same link: a client that
// repeats a call leaves the one that the person has open as it is. person is the
// subject's secret.
func (p *Approvals) Ask(ctx context.Context, a Act, text string, person secret.Bytes) (*exchange.Approval, error) {
	t, ok := p.Tenants().ByID(a.Tenant)
	if !ok {
		return nil, errors.New("asking a person: no such tenant")
	}
	for range rounds {
		status, err := p.Store.TakeAnswer(ctx, a)
		if err == nil {
			return &exchange.Approval{Status: status}, nil
		}
		if !errors.Is(err, ErrNone) {
			return nil, err
		}
		value, err := p.again(ctx, a, text, person)
		if errors.Is(err, ErrNone) {
			value, err = p.first(ctx, a, text, person)
		}
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &exchange.Approval{Status: exchange.Pending, InteractionURI: t.Issuer.Endpoint(Path + value), ExpiresIn: int64(Lifetime / time.Second)}, nil
	}
	return nil, errors.New("asking a person: others ask the same at this moment")
}

// again is the secret of the link under way, or ErrNone.
func (p *Approvals) again(ctx context.Context, a Act, text string, person secret.Bytes) (string, error) {
	sealed, err := p.Store.AskAgain(ctx, a, Lifetime)
	if err != nil {
		return "", err
	}
	value, before, err := p.open(ctx, a, sealed, person)
	if err == nil && before != text {
		err = ErrOtherQuestion
	}
	return value, err
}

// first is the secret of a new link, or ErrNone when another one was faster.
func (p *Approvals) first(ctx context.Context, a Act, text string, person secret.Bytes) (string, error) {
	value := secret.Random()
	sealed, err := p.Vault.Seal(ctx, a.binding(person), []byte(value+"\n"+text))
	if err != nil {
		return "", fmt.Errorf("sealing a question: %w", err)
	}
	stored, err := p.Store.InsertQuestion(ctx, Question{Act: a, SecretHash: sha256.Sum256([]byte(value)), Sealed: sealed}, Lifetime, Most)
	if err == nil && !stored {
		err = ErrNone
	}
	return value, err
}

func (p *Approvals) open(ctx context.Context, a Act, sealed []byte, person secret.Bytes) (value, text string, err error) {
	plain, err := p.Vault.Open(ctx, a.binding(person), sealed)
	if err != nil {
		return "", "", fmt.Errorf("opening a question: %w", err)
	}
	value, text, ok := strings.Cut(string(plain), "\n")
	if !ok || !secret.IsRandom(value) {
		return "", "", errors.New("opening a question: it has no secret")
	}
	return value, text, nil
}

// Question returns the question of a link: whose it is says its Ref. It changes
// nothing: mail scanners and chats look into links.
func (p *Approvals) Question(ctx context.Context, t tenant.ID, value string) (*Question, error) {
	if !secret.IsRandom(value) {
		return nil, ErrNone
	}
	return p.Store.Question(ctx, t, sha256.Sum256([]byte(value)))
}

// Lines opens a question for its own person, in lines that are safe to read.
func (p *Approvals) Lines(ctx context.Context, q *Question, person secret.Bytes) ([]string, error) {
	_, text, err := p.open(ctx, q.Act, q.Sealed, person)
	return readable(text), err
}

// Answer writes the person's answer. It returns ErrNone when there is nothing to answer
// for that person any more.
func (p *Approvals) Answer(ctx context.Context, t tenant.ID, value string, a Answer) error {
	if !secret.IsRandom(value) {
		return ErrNone
	}
	if a.Status != exchange.Approved && a.Status != exchange.Declined {
		return errors.New("answering: that is no answer")
	}
	return p.Store.AnswerQuestion(ctx, t, sha256.Sum256([]byte(value)), a, Use)
}

// quoted is what is left of an empty line of others' text, as the resource server
// marks it.
const quoted = "|"

// readable cleans a question line by line: parts of it are text of others. Of many
// empty lines, which could push what matters out of sight, one is left, also of those
// that are quoted.
func readable(text string) []string {
	var out []string
	empty := true // also before the first
	for line := range strings.Lines(text) {
		line = consent.Clean(line, exchange.MaxQuestion)
		blank := line == "" || line == quoted
		if !blank || !empty {
			out = append(out, line)
		}
		empty = blank
	}
	if n := len(out); n > 0 && out[n-1] == "" {
		out = out[:n-1]
	}
	return out
}
