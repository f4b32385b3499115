package postgres_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/approval"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/revocation"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/exchange"
)

// asking is a person with a grant and a session, about whom a question can be asked.
type asking struct {
	*fixture
	grant   grant.Redemption
	session uuid.UUID
}

func (f *fixture) asking(t testing.TB) *asking {
	t.Helper()
	a := &asking{fixture: f, grant: f.grant(t), session: uuid.New()}
	if _, err := f.db.RedeemCode(ctx, a.grant); err != nil {
		t.Fatal(err)
	}
	if err := f.db.BeginSession(ctx, tenant.DefaultID, session.New{SecretHash: sha256.Sum256(a.session[:]), ID: a.session, Subject: f.record.Subject, Most: 20}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *asking) act(digest byte) approval.Act {
	return approval.Act{Ref: a.record.Ref, Grant: a.grant.ID, ClientID: "c1", Tool: "drive_share", Digest: approval.Digest{digest}}
}

func secretOf(act approval.Act) [sha256.Size]byte { return sha256.Sum256(act.Digest[:]) }

// ask stores the question of an act.
func (a *asking) ask(t testing.TB, act approval.Act) {
	t.Helper()
	if ok, err := a.db.InsertQuestion(ctx, approval.Question{Act: act, SecretHash: secretOf(act), Sealed: []byte("q")}, approval.Lifetime, approval.Most); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

func (a *asking) says(status exchange.ApprovalStatus) approval.Answer {
	return approval.Answer{Status: status, Subject: a.record.Subject, Session: a.session}
}

func (a *asking) answer(t testing.TB, act approval.Act, status exchange.ApprovalStatus) {
	t.Helper()
	if err := a.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), a.says(status), approval.Use); err != nil {
		t.Fatal(err)
	}
}

// TestApprovalIsUsedOnce: DESIGN §1.4 [law]: of 16 who take one approval at once one gets it, and one event says that it was used; of 16
// answers one counts.
func TestApprovalIsUsedOnce(t *testing.T) {
	t.Parallel()
	a := setUp(t, nil).asking(t)
	for i := range byte(10) {
		act := a.act(i)
		a.ask(t, act)
		answered, won := 0, 0
		for _, err := range parallel(16, func() error {
			return a.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), a.says(exchange.Approved), approval.Use)
		}) {
			if err == nil {
				answered++
			} else if !errors.Is(err, approval.ErrNone) {
				t.Fatal(err)
			}
		}
		used := a.happened(t, func() error {
			for _, err := range parallel(16, func() error { _, err := a.db.TakeAnswer(ctx, act); return err }) {
				if err == nil {
					won++
				} else if !errors.Is(err, approval.ErrNone) {
					t.Fatal(err)
				}
			}
			return nil
		}, nil)
		if answered != 1 || won != 1 || len(used) != 1 {
			t.Fatalf("%d answers, %d uses, %v", answered, won, used)
		}
	}
}

// TestApprovalIsBound: the word is for one person, grant, account, tool and digest of one tenant, while grant and session live and the time
// is not over. Whatever does not agree takes nothing away from it.
func TestApprovalIsBound(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a := f.asking(t)
	other := f.asking(t)
	act := a.act(1)
	a.ask(t, act)
	if _, err := a.db.TakeAnswer(ctx, act); !errors.Is(err, approval.ErrNone) {
		t.Error("before the person has answered:", err)
	}
	for name, by := range map[string]approval.Answer{
		"another person":           {Status: exchange.Approved, Subject: uuid.New(), Session: a.session},
		"a session of nobody":      {Status: exchange.Approved, Subject: a.record.Subject, Session: uuid.New()},
		"another person's session": {Status: exchange.Approved, Subject: a.record.Subject},
	} {
		if err := a.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), by, approval.Use); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s answers: %v", name, err)
		}
	}
	if err := a.db.AnswerQuestion(ctx, act.Tenant, [32]byte{}, a.says(exchange.Approved), approval.Use); !errors.Is(err, approval.ErrNone) {
		t.Error("another link answers:", err)
	}
	a.answer(t, act, exchange.Approved)
	if err := a.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), a.says(exchange.Approved), approval.Use); !errors.Is(err, approval.ErrNone) {
		t.Error("answered twice:", err)
	}
	for name, change := range map[string]func(*approval.Act){
		"another tenant":  func(a *approval.Act) { a.Tenant = tenant.FromUUID(uuid.New()) },
		"another person":  func(a *approval.Act) { a.Subject = uuid.New() },
		"another grant":   func(a *approval.Act) { a.Grant = other.grant.ID },
		"another account": func(a *approval.Act) { a.Connection = uuid.New() },
		"another tool":    func(a *approval.Act) { a.Tool = "drive_trash" },
		"another digest":  func(a *approval.Act) { a.Digest[31]++ },
	} {
		wrong := act
		change(&wrong)
		if got, err := a.db.TakeAnswer(ctx, wrong); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if _, err := a.db.AskAgain(ctx, wrong, approval.Lifetime); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: asked again: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ spoil, mend string }{
		"the grant was revoked":       {`UPDATE grants SET revoked_at = now() WHERE id = $1`, `UPDATE grants SET revoked_at = NULL WHERE id = $1`},
		"the grant has ended":         {`UPDATE grants SET expires_at = now() WHERE id = $1`, `UPDATE grants SET expires_at = now() + interval '1 hour' WHERE id = $1`},
		"the session has ended":       {`UPDATE sessions SET ended_at = now() WHERE $1::uuid IS NOT NULL`, `UPDATE sessions SET ended_at = NULL WHERE $1::uuid IS NOT NULL`},
		"the approval's time is over": {`UPDATE approvals SET expires_at = now() WHERE grant_id = $1`, `UPDATE approvals SET expires_at = now() + interval '1 minute' WHERE grant_id = $1`},
	} {
		f.exec(t, c.spoil, act.Grant)
		if got, err := a.db.TakeAnswer(ctx, act); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: %q %v", name, got, err)
		}
		f.exec(t, c.mend, act.Grant)
	}
	if got, err := a.db.TakeAnswer(ctx, act); err != nil || got != exchange.Approved {
		t.Errorf("what did not agree has used it up: %q %v", got, err)
	}
	if _, err := a.db.TakeAnswer(ctx, act); !errors.Is(err, approval.ErrNone) {
		t.Error("used twice:", err)
	}
}

// TestQuestionEnds: no question is seen or answered whose time is over, whose grant has ended, or about which a revocation of many grants was
// begun; one that was declined is told once.
func TestQuestionEnds(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a := f.asking(t)
	act := a.act(1)
	a.ask(t, act)
	closed := func(name string) {
		t.Helper()
		if _, err := f.db.Question(ctx, act.Tenant, secretOf(act)); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: seen: %v", name, err)
		}
		if err := f.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), a.says(exchange.Approved), approval.Use); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: answered: %v", name, err)
		}
		if _, err := f.db.AskAgain(ctx, act, approval.Lifetime); !errors.Is(err, approval.ErrNone) {
			t.Errorf("%s: asked again: %v", name, err)
		}
	}
	f.exec(t, `UPDATE approvals SET expires_at = now()`)
	closed("over")
	f.exec(t, `UPDATE approvals SET expires_at = now() + interval '1 minute'`)
	f.exec(t, `UPDATE grants SET revoked_at = now()`)
	closed("revoked")
	f.exec(t, `UPDATE grants SET revoked_at = NULL`)
	q, err := f.db.Question(ctx, act.Tenant, secretOf(act))
	if err != nil || q.Act != act || q.Status != exchange.Pending || string(q.Sealed) != "q" {
		t.Fatalf("%+v %v", q, err)
	}
	if _, err := f.db.Question(ctx, tenant.FromUUID(uuid.New()), secretOf(act)); !errors.Is(err, approval.ErrNone) {
		t.Error("seen at another tenant:", err)
	}
	a.answer(t, act, exchange.Declined)
	if got, err := f.db.TakeAnswer(ctx, act); err != nil || got != exchange.Declined {
		t.Error(got, err)
	}
	if got, err := f.db.TakeAnswer(ctx, act); !errors.Is(err, approval.ErrNone) {
		t.Error("declined twice:", got, err)
	}
	a.ask(t, act)
	if _, begun, err := f.db.BeginRevocation(ctx, uuid.Must(uuid.NewV7()), revocation.Selector{Tenant: tenant.DefaultID}); err != nil || !begun {
		t.Fatal(begun, err)
	}
	closed("revoked with many others")
}

// TestQuestionsAreBounded: a person's eleventh question takes the place of the oldest; one is under way about an act, in whose place
// comes another only when it is over or bound otherwise; and what is over is swept, with the question in it.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a := f.asking(t)
	for i := range byte(12) {
		a.ask(t, a.act(i))
	}
	for i := range byte(12) {
		_, err := f.db.AskAgain(ctx, a.act(i), approval.Lifetime)
		if (err == nil) != (i >= 2) {
			t.Errorf("question %d: %v", i, err)
		}
	}
	act := a.act(11)
	insert := func(change func(*approval.Question)) bool {
		t.Helper()
		q := approval.Question{Act: act, SecretHash: sha256.Sum256([]byte(uuid.NewString())), Sealed: []byte("q")}
		change(&q)
		ok, err := f.db.InsertQuestion(ctx, q, approval.Lifetime, approval.Most)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	same := func(*approval.Question) {}
	further := f.linked(t, "google-sub-2")
	if insert(same) {
		t.Error("two questions about one act")
	}
	if !insert(func(q *approval.Question) { q.Ref = further }) {
		t.Error("the question about another account keeps the place")
	}
	act.Ref = further
	q := approval.Question{Act: act, SecretHash: secretOf(act), Sealed: []byte("q")}
	if !insert(func(q *approval.Question) { q.Tool = "drive_trash" }) || !insert(func(r *approval.Question) { *r = q }) {
		t.Error("the question about another tool keeps the place")
	}
	a.answer(t, act, exchange.Approved)
	if insert(same) {
		t.Error("asked again although the person has answered")
	}
	f.exec(t, `UPDATE sessions SET ended_at = now()`)
	if !insert(same) {
		t.Error("the answer of a session that has ended keeps the place")
	}
	before := f.rows(t, tenant.DefaultID, "approvals")
	if n, err := f.db.Sweep(ctx); err != nil || n != 0 || f.rows(t, tenant.DefaultID, "approvals") != before {
		t.Errorf("%d living questions swept: %v", n, err)
	}
	f.exec(t, `UPDATE approvals SET expires_at = now() - interval '1 second'`)
	if n, err := f.db.Sweep(ctx); err != nil || n == 0 || f.rows(t, tenant.DefaultID, "approvals") != "approvals\n\n" {
		t.Errorf("%d questions swept: %v", n, err)
	}
}

// TestQuestionsGrowOld: a program that repeats its call keeps a question open for an hour, not for ever: it would keep its link, and the data key
// that it is sealed under, from ending.
func TestQuestionsGrowOld(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a := f.asking(t)
	act := a.act(1)
	a.ask(t, act)
	const since = `WITH old AS (DELETE FROM approvals RETURNING *) INSERT INTO approvals (tenant_id, grant_id, digest, secret_hash, subject_id, connection_id, client_id, tool, question, expires_at, created_at)
		SELECT tenant_id, grant_id, digest, secret_hash, subject_id, connection_id, client_id, tool, question, expires_at, now() - $1::interval FROM old`
	f.exec(t, since, 59*time.Minute)
	if _, err := f.db.AskAgain(ctx, act, approval.Lifetime); err != nil {
		t.Error("within the hour:", err)
	}
	f.exec(t, since, 61*time.Minute)
	if _, err := f.db.AskAgain(ctx, act, approval.Lifetime); !errors.Is(err, approval.ErrNone) {
		t.Error("kept open for ever:", err)
	}
	next := sha256.Sum256([]byte("another link"))
	if ok, err := f.db.InsertQuestion(ctx, approval.Question{Act: act, SecretHash: next, Sealed: []byte("q")}, approval.Lifetime, approval.Most); err != nil || !ok {
		t.Fatal("an old question keeps the place:", ok, err)
	}
	for name, c := range map[string]struct {
		hash [sha256.Size]byte
		want error
	}{"old": {secretOf(act), approval.ErrNone}, "new": {next, nil}} {
		if _, err := f.db.Question(ctx, act.Tenant, c.hash); !errors.Is(err, c.want) {
			t.Errorf("the %s link: %v", name, err)
		}
	}
}

// TestNoAppPushesOutAnothers: an app that asks all day takes the places of its own questions, and not those that the person was asked by another.
func TestNoAppPushesOutAnothers(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a, busy := f.asking(t), f.asking(t)
	f.exec(t, `UPDATE grants SET client_id = 'busy' WHERE id = $1`, busy.grant.ID)
	ask := func(from, to byte) {
		for i := from; i < to; i++ {
			act := busy.act(i)
			act.ClientID = "busy"
			busy.ask(t, act)
		}
	}
	a.ask(t, a.act(1))
	a.answer(t, a.act(1), exchange.Approved)
	ask(100, 120)
	for i := byte(2); i < 6; i++ { // also where the other one has all the places but one
		a.ask(t, a.act(i))
		ask(100+20*(i-1), 120+20*(i-1))
	}
	for i := byte(2); i < 6; i++ {
		if _, err := f.db.AskAgain(ctx, a.act(i), approval.Lifetime); err != nil {
			t.Errorf("question %d was pushed out: %v", i, err)
		}
	}
	if got, err := f.db.TakeAnswer(ctx, a.act(1)); err != nil || got != exchange.Approved {
		t.Errorf("the person's word was pushed out: %q %v", got, err)
	}
	if n := strings.Count(f.rows(t, tenant.DefaultID, "approvals"), "drive_share"); n != approval.Most-1 {
		t.Errorf("%d questions are left", n)
	}
}

// TestWordIsTakenBack: a word that was taken back is not shown as given, and one about an account ends when that account is disconnected, also if it is
// linked again at once.
func TestWordIsTakenBack(t *testing.T) {
	t.Parallel()
	f := setUp(t, nil)
	a := f.asking(t)
	act := a.act(1)
	a.ask(t, act)
	a.answer(t, act, exchange.Approved)
	if q, err := f.db.Question(ctx, act.Tenant, secretOf(act)); err != nil || q.Status != exchange.Approved {
		t.Fatalf("%+v %v", q, err)
	}
	f.exec(t, `UPDATE sessions SET ended_at = now()`)
	if q, err := f.db.Question(ctx, act.Tenant, secretOf(act)); !errors.Is(err, approval.ErrNone) {
		t.Errorf("after the person has signed out it is %q: %v", q.Status, err)
	}
	f.exec(t, `UPDATE sessions SET ended_at = NULL`)
	other := a.act(2)
	other.Ref = f.link(t, "google-sub-2") // not the one that the app was allowed with: its grant goes on
	a.ask(t, other)
	a.answer(t, other, exchange.Approved)
	if err := f.db.Disconnect(ctx, other.Ref); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `UPDATE connections SET status = 'linked' WHERE id = $1`, other.Connection)
	if got, err := f.db.TakeAnswer(ctx, other); !errors.Is(err, approval.ErrNone) {
		t.Errorf("the word about an account that was disconnected: %q %v", got, err)
	}
	if got, err := f.db.TakeAnswer(ctx, act); err != nil || got != exchange.Approved {
		t.Errorf("the word about another account: %q %v", got, err)
	}
	by := a.act(3)
	a.ask(t, by)
	a.answer(t, by, exchange.Approved)
	a.answer(t, by, exchange.Declined)
	if err := f.db.AnswerQuestion(ctx, by.Tenant, secretOf(by), a.says(exchange.Approved), approval.Use); !errors.Is(err, approval.ErrNone) {
		t.Error("a no is taken back:", err)
	}
	if got, err := f.db.TakeAnswer(ctx, by); err != nil || got != exchange.Declined {
		t.Errorf("a yes that a no took back: %q %v", got, err)
	}
}

// TestTakenBackOrUsed: of a no after a yes and 16 uses at once, either the yes was used
// once and the no came too late, or nobody got a yes.
func TestTakenBackOrUsed(t *testing.T) {
	t.Parallel()
	a := setUp(t, nil).asking(t)
	for i := range byte(10) {
		act := a.act(i)
		a.ask(t, act)
		a.answer(t, act, exchange.Approved)
		var back error
		var yes, no atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			back = a.db.AnswerQuestion(ctx, act.Tenant, secretOf(act), a.says(exchange.Declined), approval.Use)
		})
		for range 16 {
			wg.Go(func() {
				switch got, err := a.db.TakeAnswer(ctx, act); {
				case err == nil && got == exchange.Approved:
					yes.Add(1)
				case err == nil:
					no.Add(1)
				case !errors.Is(err, approval.ErrNone):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if late := errors.Is(back, approval.ErrNone); back != nil && !late || late != (yes.Load() == 1) || yes.Load() > 1 || no.Load() > 1 || late && no.Load() > 0 {
			t.Fatalf("taken back: %v, used %d times, told no %d times", back, yes.Load(), no.Load())
		}
	}
}

// TestApprovalsAreRecorded: asked, approved, declined and used, each once, with tool and the beginning of the digest; what changes nothing
// is no event.
func TestApprovalsAreRecorded(t *testing.T) {
	t.Parallel()
	a := setUp(t, nil).asking(t)
	yes, no := a.act(1), a.act(2)
	take := func(act approval.Act, want error) ([]string, exchange.ApprovalStatus) {
		var got exchange.ApprovalStatus
		return a.happened(t, func() (err error) { got, err = a.db.TakeAnswer(ctx, act); return err }, want), got
	}
	for name, c := range map[string]struct{ got, want []string }{
		"asked":  {a.happened(t, func() error { a.ask(t, yes); a.ask(t, no); return nil }, nil), []string{"approval.asked by resource_server ok 0100000000000000", "approval.asked by resource_server ok 0200000000000000"}},
		"again":  {a.happened(t, func() error { _, err := a.db.AskAgain(ctx, yes, time.Minute); return err }, nil), nil},
		"looked": {a.happened(t, func() error { _, err := a.db.Question(ctx, yes.Tenant, secretOf(yes)); return err }, nil), nil},
		"answered": {a.happened(t, func() error { a.answer(t, yes, exchange.Approved); a.answer(t, no, exchange.Declined); return nil }, nil),
			[]string{"approval.approved by person ok 0100000000000000", "approval.declined by person ok 0200000000000000"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q", name, c.got)
		}
	}
	if got, status := take(yes, nil); status != exchange.Approved || !slices.Equal(got, []string{"approval.used by resource_server ok 0100000000000000"}) {
		t.Errorf("%s %q", status, got)
	}
	if got, status := take(no, nil); status != exchange.Declined || got != nil {
		t.Errorf("%s %q", status, got)
	}
	if got, _ := take(yes, approval.ErrNone); got != nil {
		t.Errorf("%q", got)
	}
}

// TestNothingIsAskedOfTheErased: an erasure takes a person's questions away, and no other is stored.
func TestNothingIsAskedOfTheErased(t *testing.T) {
	t.Parallel()
	a := setUp(t, nil).asking(t)
	a.ask(t, a.act(1))
	if err := a.db.BeginErasure(ctx, tenant.DefaultID, a.record.Subject, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	if rows := a.rows(t, tenant.DefaultID, "approvals"); rows != "approvals\n\n" {
		t.Error("left:", rows)
	}
	if ok, err := a.db.InsertQuestion(ctx, approval.Question{Act: a.act(2), Sealed: []byte("q")}, approval.Lifetime, approval.Most); err == nil || ok {
		t.Error("asked:", ok, err)
	}
}
