package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
)

// ofAct finds the row of an act: everything that the word is bound to. $1 to $6 are
// those of actArgs.
const ofAct = ` WHERE approvals.tenant_id = $1 AND approvals.grant_id = $2 AND approvals.digest = $3
	AND approvals.subject_id = $4 AND approvals.connection_id = $5 AND approvals.tool = $6`

func actArgs(a approval.Act, more ...any) []any {
	return append([]any{a.Tenant.UUID(), a.Grant, a.Digest[:], a.Subject, a.Connection, a.Tool}, more...)
}

var (
	// underWay is the condition that a question's time is not over and its grant lives.
	underWay = ` AND approvals.expires_at > now() AND EXISTS (SELECT FROM grants WHERE grants.tenant_id = $1 AND grants.id = approvals.grant_id
		AND grants.subject_id = approvals.subject_id AND grants.client_id = approvals.client_id
		AND grants.revoked_at IS NULL AND grants.redeemed_at IS NOT NULL AND grants.expires_at > now() AND ` + unlessRevokedBefore + `)`
	// sessionLives is the condition that a person's session has not ended; %s is its id.
	sessionLives = `EXISTS (SELECT FROM sessions WHERE sessions.tenant_id = $1 AND sessions.subject_id = approvals.subject_id AND sessions.id = %s
		AND sessions.ended_at IS NULL AND ` + unlessEndedBefore + `)`
	stillSaid = fmt.Sprintf(sessionLives, `approvals.session_id`)
	// young is the condition that a question may be asked again as it is; %s is the
	// lifetime's parameter.
	young = fmt.Sprintf(`approvals.created_at > now() - %d * %%s::interval`, approval.Lives)
)

// approvalRow are the columns that an event takes from a question.
var approvalRow = fromRow{
	"subject_id": "act.subject_id", "client_id": "act.client_id", "grant_id": "act.grant_id", "connection_id": "act.connection_id", "tool": "act.tool",
	"detail": "left(encode(act.digest, 'hex'), 16)",
}

const approvalEvent = `approvals.subject_id, approvals.client_id, approvals.grant_id, approvals.connection_id, approvals.tool, approvals.digest`

func noQuestion(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return approval.ErrNone
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// TakeAnswer ends a question that was answered and returns the answer; one that says
// yes is recorded as used in the same statement. It returns approval.ErrNone.
func (db *DB) TakeAnswer(ctx context.Context, a approval.Act) (exchange.ApprovalStatus, error) {
	var status exchange.ApprovalStatus
	err := db.row(ctx, a.Tenant, audited(ctx, stmt(`DELETE FROM approvals`+ofAct+underWay+`
			AND (approvals.status = 'declined' OR approvals.status = 'approved' AND `+stillSaid+`)
		RETURNING approvals.status, `+approvalEvent, actArgs(a)...),
		audit.Event{Tenant: a.Tenant, Kind: audit.ApprovalUsed, Actor: audit.ResourceServer}, approvalRow, `act.status = 'approved'`,
		`SELECT status FROM act`), &status)
	return status, noQuestion("taking an answer", err)
}

// AskAgain gives a question that waits its lifetime anew. It returns approval.ErrNone.
func (db *DB) AskAgain(ctx context.Context, a approval.Act, life time.Duration) ([]byte, error) {
	var sealed []byte
	err := db.row(ctx, a.Tenant, stmt(`UPDATE approvals SET expires_at = now() + $7::interval`+ofAct+underWay+` AND approvals.status = 'pending' AND `+fmt.Sprintf(young, `$7`)+`
		RETURNING approvals.question`, actArgs(a, life)...), &sealed)
	return sealed, noQuestion("asking again", err)
}

// InsertQuestion stores a question, unless one about the act is under way. What stands
// in its place and is over, too old, or bound otherwise, goes; so do the person's
// questions beyond most, the oldest ones of whichever app has most, so that none pushes
// another's out. The app that asks counts as having one more: it is about to.
func (db *DB) InsertQuestion(ctx context.Context, q approval.Question, life time.Duration, most int) (bool, error) {
	n, err := db.exec(ctx, q.Tenant, lockSubject(q.Tenant, q.Subject),
		stmt(`DELETE FROM approvals WHERE approvals.tenant_id = $1 AND approvals.subject_id = $4 AND (approvals.expires_at <= now()
			OR approvals.grant_id = $2 AND approvals.digest = $3
				AND (approvals.connection_id <> $5 OR approvals.tool <> $6 OR approvals.status = 'approved' AND NOT `+stillSaid+`
					OR approvals.status = 'pending' AND NOT `+fmt.Sprintf(young, `$9`)+`)
			OR (approvals.grant_id, approvals.digest) IN (SELECT o.grant_id, o.digest FROM approvals o WHERE o.tenant_id = $1 AND o.subject_id = $4 AND o.expires_at > now()
				ORDER BY row_number() OVER (PARTITION BY o.client_id ORDER BY o.created_at DESC, o.digest) + (o.client_id = $8)::integer, o.created_at DESC, o.digest OFFSET $7))`,
			actArgs(q.Act, most-1, q.ClientID, life)...),
		audited(ctx, stmt(`INSERT INTO approvals (tenant_id, grant_id, digest, subject_id, connection_id, tool, client_id, secret_hash, question, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + $10::interval) ON CONFLICT (tenant_id, grant_id, digest) DO NOTHING
			RETURNING `+approvalEvent, actArgs(q.Act, q.ClientID, q.SecretHash[:], q.Sealed, life)...),
			audit.Event{Tenant: q.Tenant, Kind: audit.ApprovalAsked, Actor: audit.ResourceServer}, approvalRow, "", count))
	if err != nil {
		return false, fmt.Errorf("storing a question: %w", err)
	}
	return n == 1, nil
}

// Question reads the question of a link; a yes that was taken back is none. It returns
// approval.ErrNone.
func (db *DB) Question(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte) (*approval.Question, error) {
	q := approval.Question{SecretHash: secretHash}
	q.Tenant = t
	var digest []byte
	err := db.row(ctx, t, stmt(`SELECT approvals.grant_id, approvals.digest, approvals.subject_id, approvals.connection_id, approvals.client_id, approvals.tool,
			approvals.question, approvals.status, `+appName("approvals")+`, `+shown("approvals", "destination")+`
		FROM approvals WHERE approvals.tenant_id = $1 AND approvals.secret_hash = $2`+underWay+` AND (approvals.status <> 'approved' OR `+stillSaid+`)`, t.UUID(), secretHash[:]),
		&q.Grant, &digest, &q.Subject, &q.Connection, &q.ClientID, &q.Tool, &q.Sealed, &q.Status, &q.AppName, &q.Destination)
	copy(q.Digest[:], digest)
	return &q, noQuestion("reading a question", err)
}

// AnswerQuestion writes the answer of the question's own person, given in a session
// that lives: the first one, and a no after a yes that was not used. It returns
// approval.ErrNone.
func (db *DB) AnswerQuestion(ctx context.Context, t tenant.ID, secretHash [sha256.Size]byte, a approval.Answer, use time.Duration) error {
	kind := audit.ApprovalDeclined
	if a.Status == exchange.Approved {
		kind = audit.ApprovalGiven
	}
	var n int64
	err := db.row(ctx, t, audited(ctx, stmt(`UPDATE approvals SET status = $4, session_id = $5, answered_at = now(), expires_at = now() + $6::interval
		WHERE approvals.tenant_id = $1 AND approvals.secret_hash = $2 AND approvals.subject_id = $3
			AND (approvals.status = 'pending' OR approvals.status = 'approved' AND $4 = 'declined')`+underWay+`
			AND `+fmt.Sprintf(sessionLives, `$5::uuid`)+`
		RETURNING `+approvalEvent, t.UUID(), secretHash[:], a.Subject, string(a.Status), a.Session, use),
		audit.Event{Tenant: t, Kind: kind, Actor: audit.Person}, approvalRow, "", `SELECT 1 FROM act`), &n)
	return noQuestion("answering a question", err)
}

// appName is the name of a client as the person of a row was shown it last, "" for
// none; the row has tenant_id, subject_id and client_id.
func appName(row string) string { return shown(row, "client_name") }

// shown is a member of what the person was shown of the client when they allowed it last.
func shown(row, member string) string {
	return `coalesce((SELECT c.snapshot->>'` + member + `' FROM consents c WHERE c.tenant_id = ` + row + `.tenant_id AND c.subject_id = ` + row + `.subject_id
		AND c.client_id = ` + row + `.client_id ORDER BY c.granted_at DESC LIMIT 1), '')`
}
