package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/exchange"
	"latchkey/authserver/internal/tenant"
)

// auditColumn is a column of an event: its value, and the type that a
// parameter has in a SELECT, where PostgreSQL does not infer it.
type auditColumn struct {
	name, cast string
	value      func(*audit.Event) any // nil: the event says nothing here
}

func textValue(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func idValue(u uuid.UUID) any {
	if u == uuid.Nil {
		return nil
	}
	return u
}

var auditColumns = []auditColumn{
	{"tenant_id", "uuid", func(e *audit.Event) any { return e.Tenant.UUID() }},
	{"kind", "text", func(e *audit.Event) any { return string(e.Kind) }},
	{"actor", "text", func(e *audit.Event) any { return string(e.Actor) }},
	{"outcome", "text", func(e *audit.Event) any { return e.Outcome }},
	{"detail", "text", func(e *audit.Event) any { return textValue(e.Detail) }},
	{"subject_id", "uuid", func(e *audit.Event) any { return idValue(e.Subject) }},
	{"client_id", "text", func(e *audit.Event) any { return textValue(e.Client) }},
	{"grant_id", "uuid", func(e *audit.Event) any { return idValue(e.Grant) }},
	{"connection_id", "uuid", func(e *audit.Event) any { return idValue(e.Connection) }},
	{"resource", "text", func(e *audit.Event) any { return textValue(e.Resource) }},
	{"scopes", "text[]", func(e *audit.Event) any {
		if len(e.Scopes) == 0 {
			return nil
		}
		return e.Scopes
	}},
	{"tool", "text", func(e *audit.Event) any { return textValue(e.Tool) }},
	{"duration_ms", "integer", func(e *audit.Event) any {
		if e.DurationMS == 0 {
			return nil
		}
		return e.DurationMS
	}},
	{"request_id", "text", func(e *audit.Event) any { return textValue(e.RequestID) }},
	{"caller_request_id", "text", func(e *audit.Event) any { return textValue(e.CallerRequestID) }},
	{"source", "text", func(e *audit.Event) any { return textValue(e.Source) }},
}

// count is a query by which an act is counted: one row for each that changed.
const count = `SELECT FROM act`

// fromRow gives columns of an event the values of the row that an act changed:
// SQL expressions over "act", by column.
type fromRow map[string]string

// grantRow are the columns that an event takes from a grant.
var grantRow = fromRow{
	"subject_id": "act.subject_id", "client_id": "act.client_id", "grant_id": "act.id", "connection_id": "act.connection_id",
	"resource": "act.resource", "scopes": "act.scopes",
}

// without is a copy with one less: the event itself has that column.
func (f fromRow) without(column string) fromRow {
	out := maps.Clone(f)
	delete(out, column)
	return out
}

// with is a copy with one more.
func (f fromRow) with(column, expression string) fromRow {
	out := maps.Clone(f)
	out[column] = expression
	return out
}

// audited makes of an act, a statement with RETURNING, one that also writes an
// event for each row it returns that meets the condition ("" for all), and
// answers with a query, which may read the rows as "act". It is one statement:
// the event is there exactly if the act has taken place (DESIGN §4).
func audited(ctx context.Context, act statement, e audit.Event, from fromRow, condition, query string) statement {
	if condition != "" {
		condition = " WHERE " + condition
	}
	written := eventFrom(ctx, e, from, `FROM act`+condition, act.args...)
	return stmt(`WITH act AS (`+act.sql+`), event AS (`+written.sql+`) `+query, written.args...)
}

// event is the statement that writes an event by itself. It belongs into the
// batch of what it records.
func event(ctx context.Context, e audit.Event) statement {
	return eventFrom(ctx, e, nil, "")
}

// eventFrom is event with columns read from rows: one event for each. The
// source, whose parameters come first, is what stands after the columns.
func eventFrom(ctx context.Context, e audit.Event, from fromRow, source string, args ...any) statement {
	e = described(ctx, e)
	args = slices.Grow(args, len(auditColumns))
	// One text for each shape of event: the driver prepares it once.
	var into, values strings.Builder
	into.Grow(512)
	values.Grow(256 + len(source))
	into.WriteString(`INSERT INTO audit_events (`)
	values.WriteString(`) SELECT `)
	comma := ""
	for i := range auditColumns {
		c := &auditColumns[i]
		expression, found := from[c.name]
		if !found {
			value := c.value(&e)
			if value == nil {
				continue
			}
			args = append(args, value)
			expression = "$" + strconv.Itoa(len(args)) + "::" + c.cast
		}
		into.WriteString(comma)
		into.WriteString(c.name)
		values.WriteString(comma)
		values.WriteString(expression)
		comma = ", "
	}
	values.WriteString(" ")
	values.WriteString(source)
	return stmt(into.String()+values.String(), args...)
}

// described adds what the context knows of the request.
func described(ctx context.Context, e audit.Event) audit.Event {
	r := audit.FromContext(ctx)
	e.RequestID, e.Source = r.ID, r.Source
	// Without tenant, kind or actor the table's constraints refuse it, and with it
	// the act.
	return e.Clean()
}

// Record writes an event by itself, for an act that changes nothing else. If it
// cannot be written, the act must not be answered as done.
func (db *DB) Record(ctx context.Context, e audit.Event) error {
	if _, err := db.exec(ctx, e.Tenant, event(ctx, e)); err != nil {
		return fmt.Errorf("writing audit event: %w", err)
	}
	return nil
}

const sealedColumns = `id, coalesce(seq, 0), hash, kind, at, actor, outcome, detail, subject_id, client_id, grant_id, connection_id, resource, scopes,
	tool, duration_ms, request_id, caller_request_id, source`

func scanSealed(t tenant.ID, row pgx.Row) (audit.Sealed, error) {
	s := audit.Sealed{Event: audit.Event{Tenant: t}}
	var hash []byte
	var subject, grant, connection *uuid.UUID
	if err := row.Scan(&s.ID, &s.Seq, &hash, &s.Kind, &s.At, &s.Actor, &s.Outcome, &s.Detail, &subject, &s.Client, &grant, &connection, &s.Resource, &s.Scopes,
		&s.Tool, &s.DurationMS, &s.RequestID, &s.CallerRequestID, &s.Source); err != nil {
		return s, err
	}
	copy(s.Hash[:], hash)
	s.At = s.At.UTC()
	for _, id := range []struct {
		from *uuid.UUID
		to   *uuid.UUID
	}{{subject, &s.Subject}, {grant, &s.Grant}, {connection, &s.Connection}} {
		if id.from != nil {
			*id.to = *id.from
		}
	}
	return s, nil
}

// AuditEvents reads the sealed events of a range in order, page by page. A zero
// Last: to the end.
func (db *DB) AuditEvents(ctx context.Context, t tenant.ID, r audit.Range) iter.Seq2[audit.Sealed, error] {
	after := r.From.Seq
	return pages(func() ([]audit.Sealed, error) {
		return list(ctx, db, t, stmt(`SELECT `+sealedColumns+` FROM audit_events
			WHERE tenant_id = $1 AND seq IS NOT NULL AND seq > $2 AND ($3 = 0 OR seq <= $3) ORDER BY seq LIMIT $4`, t.UUID(), after, r.Last, audit.MaxPage),
			func(row pgx.CollectableRow) (audit.Sealed, error) { return scanSealed(t, row) })
	}, func(s audit.Sealed) { after = s.Seq })
}

// AuditCheckpoints reads the checkpoints after one place and up to another, in
// order of place and time, page by page.
func (db *DB) AuditCheckpoints(ctx context.Context, t tenant.ID, from, last int64) iter.Seq2[audit.Checkpoint, error] {
	after := audit.Checkpoint{Seq: from}
	return pages(func() ([]audit.Checkpoint, error) {
		return list(ctx, db, t, stmt(`SELECT seq, kid, hash, jws FROM audit_checkpoints WHERE tenant_id = $1 AND seq <= $4 AND (seq, at, kid) >
				($2, coalesce((SELECT at FROM audit_checkpoints WHERE tenant_id = $1 AND seq = $2 AND kid = $3), 'infinity'), $3)
			ORDER BY seq, at, kid LIMIT $5`, t.UUID(), after.Seq, after.KID, last, audit.MaxPage),
			func(row pgx.CollectableRow) (audit.Checkpoint, error) {
				c := audit.Checkpoint{Tenant: t}
				var hash []byte
				if err := row.Scan(&c.Seq, &c.KID, &hash, &c.JWS); err != nil {
					return c, err
				}
				copy(c.Hash[:], hash)
				return c, nil
			})
	}, func(c audit.Checkpoint) { after = c })
}

// pages reads page after page until one is not full.
func pages[T any](read func() ([]T, error), seen func(T)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := read()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
				seen(one)
			}
			if len(page) < audit.MaxPage {
				return
			}
		}
	}
}

// LastCheckpoint returns the place of the newest checkpoint, 0 if there is none.
func (db *DB) LastCheckpoint(ctx context.Context, t tenant.ID) (int64, error) {
	var seq int64
	if err := db.row(ctx, t, stmt(`SELECT coalesce(max(seq), 0) FROM audit_checkpoints WHERE tenant_id = $1`, t.UUID()), &seq); err != nil {
		return 0, fmt.Errorf("finding the last audit checkpoint: %w", err)
	}
	return seq, nil
}

// AuditRange returns the places of the first and the last sealed event in a
// span of time, the hash before the first, and the place of the first
// checkpoint at or after the last one. ErrNoEvents if there is none.
func (db *DB) AuditRange(ctx context.Context, t tenant.ID, q audit.Query) (audit.Range, error) {
	var r audit.Range
	var hash []byte
	err := db.row(ctx, t, stmt(`WITH span AS (
			SELECT min(seq) AS low, max(seq) AS high FROM audit_events
			WHERE tenant_id = $1 AND seq IS NOT NULL AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3))
		SELECT low, coalesce((SELECT min(c.seq) FROM audit_checkpoints c WHERE c.tenant_id = $1 AND c.seq >= high), high),
		       (SELECT e.hash FROM audit_events e WHERE e.tenant_id = $1 AND e.seq = low - 1)
		FROM span WHERE low IS NOT NULL`, t.UUID(), orNull(q.Since), orNull(q.Until)), &r.First, &r.Last, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, audit.ErrNoEvents
	}
	if err != nil {
		return r, fmt.Errorf("finding audit events: %w", err)
	}
	if r.First > 1 {
		r.From.Seq = r.First - 1
		copy(r.From.Hash[:], hash)
	}
	return r, nil
}

// SearchAudit returns a page of events, newest first, sealed or not.
func (db *DB) SearchAudit(ctx context.Context, t tenant.ID, q audit.Query) ([]audit.Sealed, error) {
	where, args := []string{`tenant_id = $1`}, []any{t.UUID()}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if q.Subject != uuid.Nil {
		add(`subject_id = ?`, q.Subject)
	}
	if q.Client != "" {
		add(`client_id = ?`, q.Client)
	}
	if q.Grant != uuid.Nil {
		add(`grant_id = ?`, q.Grant)
	}
	if q.Kind != "" {
		add(`kind = ?`, string(q.Kind))
	}
	if q.Request != "" { // written twice: the indexes are of rows that have an id
		add(`(request_id = ? AND request_id <> '' OR caller_request_id = ? AND caller_request_id <> '')`, q.Request)
	}
	if !q.Since.IsZero() {
		add(`at >= ?`, q.Since)
	}
	if !q.Until.IsZero() {
		add(`at < ?`, q.Until)
	}
	if q.Before > 0 {
		add(`id < ?`, q.Before)
	}
	args = append(args, min(max(q.Limit, 1), audit.MaxPage))
	half := func(sealed string) string {
		return fmt.Sprintf(`(SELECT %s FROM audit_events WHERE %s AND seq IS %s ORDER BY id DESC LIMIT $%d)`, sealedColumns, strings.Join(where, ` AND `), sealed, len(args))
	}
	return list(ctx, db, t, stmt(fmt.Sprintf(`%s UNION ALL %s ORDER BY id DESC LIMIT $%d`, half("NULL"), half("NOT NULL"), len(args)), args...),
		func(row pgx.CollectableRow) (audit.Sealed, error) { return scanSealed(t, row) })
}

// RecordOutcomes writes what a resource server reports of tool calls. The rest
// of each event comes from its grant; what names a grant that is not there is
// dropped.
func (db *DB) RecordOutcomes(ctx context.Context, reported []exchange.Outcome) (int64, error) {
	n := len(reported)
	tenants, grants := make([]uuid.UUID, n), make([]uuid.UUID, n)
	tools, outcomes, requests := make([]string, n), make([]string, n), make([]string, n)
	durations := make([]int32, n)
	for i, o := range reported {
		tenants[i], grants[i], tools[i], outcomes[i], durations[i], requests[i] = o.Tenant.UUID(), o.Grant, o.Tool, o.Outcome, o.DurationMS, o.RequestID
	}
	s := eventFrom(ctx, audit.Event{Kind: audit.ToolCalled, Actor: audit.ResourceServer}, fromRow{
		"tenant_id": `g.tenant_id`, "outcome": `o.outcome`, "subject_id": `g.subject_id`, "client_id": `g.client_id`, "grant_id": `g.id`, "resource": `g.resource`,
		"tool": `o.tool`, "duration_ms": `o.duration_ms`, "caller_request_id": `o.request_id`,
	}, `FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::text[]) AS o (tenant_id, grant_id, tool, outcome, duration_ms, request_id)
		JOIN grants g ON g.tenant_id = o.tenant_id AND g.id = o.grant_id`, tenants, grants, tools, outcomes, durations, requests)
	tag, err := db.jobs.Exec(ctx, s.sql, s.args...)
	if err != nil {
		return 0, fmt.Errorf("recording outcomes: %w", err)
	}
	return tag.RowsAffected(), nil
}
