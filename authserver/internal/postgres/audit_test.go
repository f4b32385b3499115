package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
)

var mutations = flag.Int("mutations", 200, "random mutations of the audit trail")

// auditKey signs checkpoints as a tenant's key set does.
type auditKey struct{ jose.JSONWebKey }

func newAuditKey(t testing.TB, kid string) auditKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return auditKey{jose.JSONWebKey{Key: private, KeyID: kid, Algorithm: string(jose.ES256)}}
}

func (k auditKey) SignDocument(typ string, claims any) (string, string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.JSONWebKey}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", "", err
	}
	jws, err := signed.CompactSerialize()
	return k.KeyID, jws, err
}

func (k auditKey) public() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.Public()}}
}

func sealer(db *postgres.DB, k auditKey) *audit.Sealer {
	return &audit.Sealer{Store: db, Log: slog.New(slog.DiscardHandler), Now: time.Now, Keys: func(context.Context, tenant.ID) (audit.Signer, error) { return k, nil }}
}

func verify(t testing.TB, db *postgres.DB, tn tenant.ID, k auditKey, anchors ...audit.Anchor) *audit.Report {
	t.Helper()
	last, err := db.LastCheckpoint(ctx, tn)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(audit.Evidence{
		Tenant: tn, Keys: k.public(), Now: time.Now(), Anchors: anchors,
		Events: db.AuditEvents(ctx, tn, audit.Range{}), Checkpoints: db.AuditCheckpoints(ctx, tn, 0, last),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func someEvent(tn tenant.ID, i int) audit.Event {
	return audit.Event{
		Tenant: tn, Kind: audit.Kinds()[i%len(audit.Kinds())], Actor: audit.Client, Subject: uuid.New(), Client: fmt.Sprintf("client-%d", i%5), Grant: uuid.New(),
		Connection: uuid.New(), Resource: mcp.String(), Scopes: []string{"gmail.read", "drive.read"}, Tool: "gmail_search_threads", DurationMS: int32(i + 1), Detail: "detail",
		CallerRequestID: fmt.Sprintf("rs-%d", i),
	}
}

// trail is what a database's owner can write: everything, without a word to
// anybody.
type trail struct {
	events      []audit.Sealed
	checkpoints []audit.Checkpoint
}

func read(t testing.TB, db *postgres.DB, tn tenant.ID) trail {
	t.Helper()
	var out trail
	for e, err := range db.AuditEvents(ctx, tn, audit.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		out.events = append(out.events, e)
	}
	for c, err := range db.AuditCheckpoints(ctx, tn, 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		out.checkpoints = append(out.checkpoints, c)
	}
	return out
}

func (tr trail) clone() trail {
	out := trail{slices.Clone(tr.events), slices.Clone(tr.checkpoints)}
	for i := range out.events {
		out.events[i].Scopes = slices.Clone(out.events[i].Scopes)
	}
	return out
}

// rechain computes every hash from an index on, as an attacker would.
func (tr trail) rechain(from int) {
	for i := max(from, 0); i < len(tr.events); i++ {
		previous := audit.Genesis(tr.events[i].Tenant)
		if i > 0 {
			previous = tr.events[i-1].Hash
		}
		tr.events[i].Hash = audit.Chain(previous, tr.events[i].Seq, tr.events[i].Event)
	}
}

// unbound connects as the database's owner, whom nothing stops.
func unbound(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, table := range []string{"audit_events", "audit_checkpoints"} {
		if _, err := conn.Exec(ctx, `ALTER TABLE `+table+` NO FORCE ROW LEVEL SECURITY`); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// write replaces the stored trail of a tenant.
func (tr trail) write(t testing.TB, conn *pgx.Conn, tn tenant.ID) {
	t.Helper()
	null := func(u uuid.UUID) any {
		if u == uuid.Nil {
			return nil
		}
		return u
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, table := range []string{"audit_events", "audit_checkpoints"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1`, tn.UUID()); err != nil {
				return err
			}
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"audit_events"}, []string{"tenant_id", "id", "at", "kind", "actor", "outcome", "detail", "subject_id", "client_id", "grant_id", "connection_id",
			"resource", "scopes", "tool", "duration_ms", "request_id", "caller_request_id", "source", "seq", "hash"},
			pgx.CopyFromSlice(len(tr.events), func(i int) ([]any, error) {
				e := tr.events[i]
				return []any{e.Tenant.UUID(), int64(i + 1), e.At, string(e.Kind), string(e.Actor), e.Outcome, e.Detail, null(e.Subject), e.Client, null(e.Grant), null(e.Connection),
					e.Resource, append([]string{}, e.Scopes...), e.Tool, e.DurationMS, e.RequestID, e.CallerRequestID, e.Source, e.Seq, e.Hash[:]}, nil
			})); err != nil {
			return err
		}
		for _, c := range tr.checkpoints {
			if _, err := tx.Exec(ctx, `INSERT INTO audit_checkpoints (tenant_id, seq, kid, hash, jws) VALUES ($1, $2, $3, $4, $5)`, tn.UUID(), c.Seq, c.KID, c.Hash[:], c.JWS); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// edit changes one member of one event.
func edit(r *mathrand.Rand, e *audit.Sealed) string {
	text := func(s *string) { *s += "x" }
	members := []struct {
		name   string
		change func()
	}{
		{"kind", func() { e.Kind = audit.Kinds()[(slices.Index(audit.Kinds(), e.Kind)+1)%len(audit.Kinds())] }},
		{"at", func() { e.At = e.At.Add(time.Microsecond) }},
		{"actor", func() { e.Actor = audit.Operator }},
		{"outcome", func() { text(&e.Outcome) }},
		{"detail", func() { text(&e.Detail) }},
		{"subject", func() { e.Subject = uuid.New() }},
		{"no subject", func() { e.Subject = uuid.Nil }},
		{"client", func() { text(&e.Client) }},
		{"grant", func() { e.Grant[3] ^= 1 }},
		{"connection", func() { e.Connection = uuid.Nil }},
		{"resource", func() { e.Resource = "" }},
		{"scope", func() { e.Scopes = append(e.Scopes, "gmail.send") }},
		{"scopes joined", func() { e.Scopes = []string{strings.Join(e.Scopes, "")} }},
		{"scopes swapped", func() { slices.Reverse(e.Scopes) }},
		{"no scopes", func() { e.Scopes = nil }},
		{"tool", func() { e.Tool = "gmail_send" }},
		{"duration", func() { e.DurationMS++ }},
		{"request", func() { text(&e.RequestID) }},
		{"caller request", func() { text(&e.CallerRequestID) }},
		{"moved text", func() { e.RequestID, e.CallerRequestID = e.CallerRequestID, e.RequestID }},
		{"source", func() { text(&e.Source) }},
		{"hash", func() { e.Hash[7] ^= 1 }},
	}
	m := members[r.IntN(len(members))]
	m.change()
	return "edit of " + m.name
}

// TestAuditMutations: DESIGN §4, OPERATIONS R16: whatever the database's owner does to events under a checkpoint is found,
// also when the hashes are made to fit; a history rewritten with its checkpoints gone is found by an anchor.
func TestAuditMutations(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	tn, key, thief := pgtest.Tenant(t, f.dsn), newAuditKey(t, "k1"), newAuditKey(t, "k1")
	s := sealer(f.db, key)
	const events = 60
	for i := range events {
		if err := f.db.Record(ctx, someEvent(tn, i)); err != nil {
			t.Fatal(err)
		}
		if i%15 == 14 {
			if err := s.Round(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := read(t, f.db, tn)
	if r := verify(t, f.db, tn, key); !r.OK() || r.Attested != events || r.Checkpoints != 4 || len(whole.events) != events {
		t.Fatalf("%+v", r)
	}
	anchor := audit.Anchor{Tenant: tn, Seq: events, Hash: whole.events[events-1].Hash}
	conn := unbound(t, f.dsn)
	resign := func(tr trail, from int64) { // checkpoints that say what the chain says now, but cannot be signed
		for i, c := range tr.checkpoints {
			if c.Seq >= from {
				tr.checkpoints[i].Hash = tr.events[c.Seq-1].Hash
			}
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	kinds := []func(tr *trail) string{
		func(tr *trail) string { return edit(r, &tr.events[r.IntN(events)]) },
		func(tr *trail) string {
			i := r.IntN(events)
			what := edit(r, &tr.events[i])
			if what == "edit of hash" { // chaining anew would mend it
				tr.events[i].Detail += "y"
			}
			tr.rechain(i)
			return what + ", chained anew"
		},
		func(tr *trail) string {
			i := r.IntN(events)
			tr.events[i].Detail += "z"
			tr.rechain(i)
			resign(*tr, int64(i+1))
			return "edit, chained anew, checkpoints changed"
		},
		func(tr *trail) string {
			i := r.IntN(events)
			tr.events[i].Detail += "z"
			tr.rechain(i)
			resign(*tr, int64(i+1))
			for j, c := range tr.checkpoints {
				if c.Seq > int64(i) {
					tr.checkpoints[j] = forge(t, thief, tn, c.Seq, c.Hash)
				}
			}
			return "edit, chained anew, checkpoints signed by another key of the same name"
		},
		func(tr *trail) string {
			i := r.IntN(events)
			tr.events = slices.Delete(tr.events, i, i+1+r.IntN(min(3, events-i)))
			return "deletion"
		},
		func(tr *trail) string {
			i := r.IntN(events - 1) // the last one's is truncation
			tr.events = slices.Delete(tr.events, i, i+1)
			for j := i; j < len(tr.events); j++ {
				tr.events[j].Seq--
			}
			tr.rechain(i)
			return "deletion, chained anew"
		},
		func(tr *trail) string {
			i, j := r.IntN(events-1), events-1
			j = i + 1 + r.IntN(j-i)
			a, b := &tr.events[i], &tr.events[j]
			a.Event, b.Event = b.Event, a.Event
			if r.IntN(2) == 0 {
				tr.rechain(i)
				return "swap, chained anew"
			}
			return "swap"
		},
		func(tr *trail) string {
			i, j := r.IntN(events-1), 0
			j = i + 1
			tr.events[i].Seq, tr.events[j].Seq = tr.events[j].Seq, tr.events[i].Seq
			return "swap of places"
		},
		func(tr *trail) string {
			tr.events = tr.events[:r.IntN(events)]
			return "truncation"
		},
		func(tr *trail) string {
			n := 1 + r.IntN(events-1)
			tr.events = tr.events[n:]
			if r.IntN(2) == 0 { // with the checkpoints of what is gone
				tr.checkpoints = slices.DeleteFunc(tr.checkpoints, func(c audit.Checkpoint) bool { return c.Seq <= int64(n) })
			}
			return "truncation at the front"
		},
		func(tr *trail) string {
			i := r.IntN(events)
			planted := audit.Sealed{Seq: int64(i + 1), Event: someEvent(tn, 1000).Clean()}
			planted.At = tr.events[i].At
			tr.events = slices.Insert(tr.events, i, planted)
			for j := i + 1; j < len(tr.events); j++ {
				tr.events[j].Seq++
			}
			if r.IntN(2) == 0 {
				tr.rechain(i)
				return "insertion, chained anew"
			}
			return "insertion"
		},
		func(tr *trail) string {
			c := &tr.checkpoints[r.IntN(len(tr.checkpoints))]
			c.Hash[1] ^= 1
			return "edit of a checkpoint"
		},
		func(tr *trail) string {
			i := r.IntN(len(tr.checkpoints) - 1)
			tr.checkpoints[i].JWS = tr.checkpoints[i+1].JWS
			return "another checkpoint's signature"
		},
		func(tr *trail) string {
			i := r.IntN(events)
			tr.events[i].Detail += "z"
			tr.rechain(i)
			tr.checkpoints = nil
			return "edit, chained anew, no checkpoints"
		},
		func(tr *trail) string { // what no checkpoint shows, the anchor does
			i := r.IntN(events - 16)
			tr.events[i].Detail += "z"
			tr.rechain(i)
			kept := tr.checkpoints[:0]
			for _, c := range tr.checkpoints {
				if c.Seq < int64(i+1) {
					kept = append(kept, c)
				}
			}
			kept = append(kept, forge(t, key, tn, events, tr.events[events-1].Hash)) // with the stolen key
			tr.checkpoints = kept
			return "the owner of the keys rewrites everything"
		},
	}
	found := map[string]int{}
	for n := range *mutations {
		tr := whole.clone()
		what := kinds[n%len(kinds)](&tr)
		tr.write(t, conn, tn)
		var anchors []audit.Anchor
		if strings.HasPrefix(what, "the owner of the keys") {
			if r := verify(t, f.db, tn, key); !r.OK() {
				t.Fatalf("%s: not as the test wants it: %+v", what, r.Findings)
			}
			anchors = []audit.Anchor{anchor}
		}
		report := verify(t, f.db, tn, key, anchors...)
		if report.OK() {
			t.Errorf("mutation %d, %s, is not found", n, what)
		}
		found[what]++
	}
	t.Logf("%d mutations of %d kinds found", *mutations, len(found))
	whole.write(t, conn, tn)
	if r := verify(t, f.db, tn, key, anchor); !r.OK() || r.Attested != events {
		t.Errorf("the trail as it was: %+v", r)
	}
	// A broken chain is not continued: that would bury the evidence.
	cut := whole.clone()
	cut.events = cut.events[:events-3]
	cut.write(t, conn, tn)
	if err := f.db.Record(ctx, someEvent(tn, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Round(ctx, 0); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("sealed behind a gap: %v", err)
	}
}

// forge makes a checkpoint with whatever key there is.
func forge(t testing.TB, k auditKey, tn tenant.ID, seq int64, h audit.Hash) audit.Checkpoint {
	t.Helper()
	payload := fmt.Sprintf(`{"tid":%q,"seq":%d,"hash":%q,"iat":1}`, tn, seq, h)
	kid, jws, err := k.SignDocument(audit.CheckpointType, json.RawMessage(payload))
	if err != nil {
		t.Fatal(err)
	}
	return audit.Checkpoint{Tenant: tn, Seq: seq, Hash: h, KID: kid, JWS: jws}
}
