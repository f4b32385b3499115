package rewrap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	tinkkeyset "github.com/tink-crypto/tink-go/v2/keyset"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

var ctx = context.Background()

// fixture is a database with many persons who have credentials.
type fixture struct {
	dsn     string
	db      *postgres.DB
	file    string
	kek     *vault.KEK
	persons []*connection.Record
}

// setUp seals three values for each person with a vault of its own: what a
// server did before.
func setUp(t testing.TB, persons int) *fixture {
	t.Helper()
	f := &fixture{dsn: pgtest.Clone(t)}
	var err error
	if f.db, err = postgres.Open(ctx, postgres.Config{URL: secret.NewText(f.dsn)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.db.Close)
	f.file = filepath.Join(t.TempDir(), "kek.json")
	if f.kek, err = vault.CreateKEK(f.file); err != nil {
		t.Fatal(err)
	}
	v := f.vault(t)
	if _, err := v.Seal(ctx, vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey, Context: "k1"}, []byte("key")); err != nil {
		t.Fatal(err)
	}
	for len(f.persons) < persons {
		f.insert(t, v, len(f.persons), min(persons-len(f.persons), 5000))
	}
	signing, err := v.Seal(ctx, vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey, Context: "k1"}, []byte("key"))
	if err == nil {
		err = f.db.InsertSigningKey(ctx, tenant.DefaultID, keyset.Record{KID: "k1", Purpose: keyset.ForGrants, Alg: "HS256", Sealed: signing})
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) vault(t testing.TB) *vault.Vault {
	t.Helper()
	v, err := vault.New(vault.Config{KEK: f.kek, Store: f.db})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// insert makes persons by SQL, in one transaction.
func (f *fixture) insert(t testing.TB, v *vault.Vault, from, n int) {
	t.Helper()
	var ids []uuid.UUID
	var subs []string
	for i := range n {
		ids, subs = append(ids, uuid.Must(uuid.NewV7())), append(subs, fmt.Sprintf("sub-%d", from+i))
	}
	f.runtime(t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO subjects (tenant_id, id, google_sub) SELECT $1, id, sub FROM unnest($2::uuid[], $3::text[]) AS x (id, sub)`, tenant.DefaultID.UUID(), ids, subs); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT s.subject_id, s.secret FROM subject_secrets s WHERE s.subject_id = ANY($1) ORDER BY 1`, ids)
		if err != nil {
			return err
		}
		fresh, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*connection.Record, error) {
			r := &connection.Record{Ref: connection.Ref{Tenant: tenant.DefaultID}}
			var person []byte
			err := row.Scan(&r.Subject, &person)
			r.Connection, r.Person = r.Subject, secret.NewBytes(person)
			return r, err
		})
		if err != nil {
			return err
		}
		var emails, refreshes, accesses [][]byte
		for i, r := range fresh {
			for p, list := range map[vault.Purpose]*[][]byte{vault.Email: &emails, vault.RefreshToken: &refreshes, vault.AccessToken: &accesses} {
				sealed, err := v.Seal(ctx, r.Binding(p), []byte(value(p, from+i)))
				if err != nil {
					return err
				}
				*list = append(*list, sealed)
			}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO connections (tenant_id, id, subject_id, google_sub, email, is_default)
			SELECT $1, id, id, id::text, email, true FROM unnest($2::uuid[], $3::bytea[]) AS x (id, email)`, tenant.DefaultID.UUID(), ids, emails); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO credentials (tenant_id, connection_id, upstream_client, refresh_token, access_token, access_expires_at, google_scopes, status)
			SELECT $1, id, 'up', r, a, now() + interval '1 hour', '{openid}', 'active' FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS x (id, r, a)`, tenant.DefaultID.UUID(), ids, refreshes, accesses)
		f.persons = append(f.persons, fresh...)
		return err
	})
}

func value(p vault.Purpose, i int) string { return fmt.Sprintf("%s of %d", p, i) }

// runtime runs f as a server does, in the default tenant.
func (f *fixture) runtime(t testing.TB, do func(pgx.Tx) error) {
	t.Helper()
	f.as(t, "latchkey_runtime", do)
}

func (f *fixture) as(t testing.TB, role string, do func(pgx.Tx) error) {
	t.Helper()
	conn, err := pgx.Connect(ctx, f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE `+role); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT set_config('app.tenant_id', $1, true)`, tenant.DefaultID.String()); err != nil {
			return err
		}
		return do(tx)
	}); err != nil {
		t.Fatal(err)
	}
}

// rotate makes a new active data key and returns it with the old one.
func (f *fixture) rotate(t testing.TB) (old, fresh uuid.UUID) {
	t.Helper()
	old, err := f.vault(t).Active(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	k, err := vault.NewDataKey(ctx, f.kek, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := f.db.RotateDataKey(ctx, tenant.DefaultID, old, k); err != nil || !done {
		t.Fatal(done, err)
	}
	if done, err := f.db.RotateDataKey(ctx, tenant.DefaultID, old, k); err != nil || done {
		t.Fatalf("a second rotation of the same key: %v %v", done, err)
	}
	return old, k.ID
}

func (f *fixture) run(t testing.TB) rewrap.Run {
	return rewrap.Run{Store: f.db, KEK: f.kek, Vault: f.vault(t)}
}

// check opens everything, with a vault that knows nothing yet.
func (f *fixture) check(t testing.TB, active uuid.UUID) {
	t.Helper()
	v := f.vault(t)
	for i, p := range f.persons {
		r, err := f.db.Connection(ctx, p.Ref)
		if err != nil {
			t.Fatal(err)
		}
		for purpose, sealed := range map[vault.Purpose][]byte{vault.Email: r.SealedEmail, vault.RefreshToken: r.SealedRefresh, vault.AccessToken: r.SealedAccess} {
			plain, err := v.Open(ctx, r.Binding(purpose), sealed)
			if err != nil || !strings.HasPrefix(string(plain), value(purpose, i)) {
				t.Fatalf("%s of %d: %q %v", purpose, i, plain, err)
			}
			if id, _ := vault.KeyID(sealed); id != active || sealed[0] != vault.Format {
				t.Fatalf("%s of %d is under %s, format %d", purpose, i, id, sealed[0])
			}
		}
	}
	keys, err := f.db.SigningKeys(ctx, tenant.DefaultID)
	if err != nil || len(keys) != 1 {
		t.Fatal(len(keys), err)
	}
	if plain, err := v.Open(ctx, vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey, Context: "k1"}, keys[0].Sealed); err != nil || string(plain) != "key" {
		t.Errorf("the signing key: %v", err)
	}
	if id, _ := vault.KeyID(keys[0].Sealed); id != active || keys[0].State != keyset.Active {
		t.Errorf("the signing key is under %s and %s", id, keys[0].State)
	}
}

// TestEverythingMoves: values of all tables and of format 1 move; a run that was cut off is taken up by the next one; a run with
// nothing to do does nothing; and versions stay, so a refresh under way is not disturbed.
func TestEverythingMoves(t *testing.T) {
	t.Parallel()
	f := setUp(t, 700)
	_, active := f.rotate(t)
	cut, cancel := context.WithCancel(ctx)
	first := f.run(t)
	first.Report = func(p rewrap.Progress) {
		if p.Done >= 400 {
			cancel() // killed in the middle
		}
	}
	p, err := first.Tenant(cut, tenant.DefaultID)
	if !errors.Is(err, context.Canceled) || p.Done < 400 || p.Done >= 1401 {
		t.Fatalf("%+v %v", p, err)
	}
	second := f.run(t)
	rest, err := second.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Done+rest.Done != 2*700+1 || rest.Refused != 0 || len(rest.Left) != 0 {
		t.Fatalf("%d and then %+v %v", p.Done, rest, err)
	}
	f.check(t, active)
	if r, err := f.db.Connection(ctx, f.persons[0].Ref); err != nil || r.Version != 1 {
		t.Errorf("version %d: %v", r.Version, err)
	}
	if again, err := second.Tenant(ctx, tenant.DefaultID); err != nil || again.Done != 0 {
		t.Errorf("%+v %v", again, err)
	}
}

// TestQueuedTokenMoves: a token that is still to be revoked at Google moves too, and opens with the person's secret.
func TestQueuedTokenMoves(t *testing.T) {
	t.Parallel()
	f := setUp(t, 2)
	if err := f.db.Disconnect(ctx, f.persons[0].Ref); err != nil {
		t.Fatal(err)
	}
	_, active := f.rotate(t)
	run := f.run(t)
	if p, err := run.Tenant(ctx, tenant.DefaultID); err != nil || p.Refused != 0 || len(p.Left) != 0 || p.Done != 1+2+2 { // the key, two addresses, a credential and the queue
		t.Fatalf("%+v %v", p, err)
	}
	due, err := f.db.ClaimRevocations(ctx, 10)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	sealed, person, err := f.db.RevocationToken(ctx, due[0])
	if err != nil {
		t.Fatal(err)
	}
	r := connection.Record{Ref: due[0].Ref, Person: person}
	plain, err := f.vault(t).Open(ctx, r.Binding(due[0].Purpose), sealed)
	if id, _ := vault.KeyID(sealed); err != nil || string(plain) != value(vault.RefreshToken, 0) || id != active {
		t.Errorf("%q under %s: %v", plain, id, err)
	}
}

// old is a value of format 1 as the version before this one made it, built from the data key by hand.
func (f *fixture) old(t testing.TB, b vault.Binding, plain string) []byte {
	t.Helper()
	raw, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(tinkkeyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	kek, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := f.db.DataKeys(ctx, b.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	id := keys[0].ID
	dataKey, err := kek.Decrypt(keys[0].Wrapped, []byte("latchkey data key v1|"+b.Tenant.String()+"|"+id.String()))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := subtle.NewAESGCM(dataKey)
	if err != nil {
		t.Fatal(err)
	}
	of, ad := b.Tenant.UUID(), []byte("latchkey vault v1")
	for _, part := range [][]byte{of[:], b.Subject[:], b.Connection[:], id[:], []byte(b.Purpose), []byte(b.Context)} {
		ad = append(binary.BigEndian.AppendUint16(ad, uint16(len(part))), part...)
	}
	sealed, err := gcm.Encrypt([]byte(plain), ad)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte{1}, id[:]...), sealed...)
}

// TestOldFormat: values that the version before format 2 sealed are opened, and move to it; one that opens under no key is counted,
// is left as it is, keeps its data key, and does not stop the rest.
func TestOldFormat(t *testing.T) {
	t.Parallel()
	f := setUp(t, 3)
	active, err := f.vault(t).Active(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	f.runtime(t, func(tx pgx.Tx) error {
		for i, p := range f.persons {
			if _, err := tx.Exec(ctx, `UPDATE credentials SET refresh_token = $2, access_token = $3 WHERE connection_id = $1`, p.Connection,
				f.old(t, p.Binding(vault.RefreshToken), value(vault.RefreshToken, i)), f.old(t, p.Binding(vault.AccessToken), value(vault.AccessToken, i))); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE connections SET email = $2 WHERE id = $1`, p.Connection, f.old(t, p.Binding(vault.Email), value(vault.Email, i))); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM signing_keys`)
		return err
	})
	if err := f.db.InsertSigningKey(ctx, tenant.DefaultID, keyset.Record{
		KID: "k1", Purpose: keyset.ForGrants, Alg: "HS256",
		Sealed: f.old(t, vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey, Context: "k1"}, "key"),
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.refresh(f.vault(t), 0, 1); err != nil { // a server opens them, and seals the new one in the new format
		t.Fatal(err)
	}
	run := f.run(t) // no rotation: the key stays, the format does not
	p, err := run.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Refused != 0 || len(p.Left) != 0 || p.Done != 2*3+1 {
		t.Fatalf("%+v %v", p, err)
	}
	f.check(t, active)

	f.runtime(t, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE credentials SET access_token = set_byte(access_token, 40, 255 - get_byte(access_token, 40)) WHERE connection_id = $1`, f.persons[1].Connection)
		return err
	})
	_, fresh := f.rotate(t)
	p, err = run.Tenant(ctx, tenant.DefaultID)
	if err != nil || p.Refused != 1 || len(p.Left) != 1 || p.Left[active.String()] != 1 || p.Done != 2*3+1 {
		t.Fatalf("%+v %v", p, err)
	}
	counts, err := f.db.CountValues(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		if c.Key != fresh && (c.Kind != "credentials.access_token" || c.Key != active || c.Rows != 1) {
			t.Errorf("%+v", c)
		}
	}
	if gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, active, 0); err != nil || gone {
		t.Errorf("a data key with a value left was deleted: %v", err)
	}
}

// TestConcurrentRuns: two runs and servers that refresh at the same time: all end, no value is lost, every refresh stands.
func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	f := setUp(t, 400)
	_, active := f.rotate(t)
	var done atomic.Int64
	var runs, writers sync.WaitGroup
	stop := make(chan struct{})
	published := make([]atomic.Int64, len(f.persons))
	server := f.vault(t)
	for w := range 4 {
		writers.Go(func() {
			for i := w; ; i = (i + 4) % len(f.persons) {
				select {
				case <-stop:
					return
				default:
				}
				if err := f.refresh(server, i, published[i].Add(1)); err != nil {
					t.Errorf("refresh of %d: %v", i, err)
					return
				}
			}
		})
	}
	for range 2 {
		run := f.run(t)
		runs.Go(func() {
			p, err := run.Tenant(ctx, tenant.DefaultID)
			if err != nil || p.Refused != 0 {
				t.Errorf("%+v %v", p, err)
			}
			done.Add(p.Done)
		})
	}
	runs.Wait()
	close(stop)
	writers.Wait()
	// What a server sealed meanwhile under the old key, which it took for the
	// active one, is moved by the next run.
	last := f.run(t)
	p, err := last.Tenant(ctx, tenant.DefaultID)
	if err != nil || len(p.Left) != 0 {
		t.Fatalf("%+v %v", p, err)
	}
	f.check(t, active)
	v := f.vault(t)
	for i, person := range f.persons {
		r, err := f.db.Connection(ctx, person.Ref)
		if err != nil {
			t.Fatal(err)
		}
		n := published[i].Load()
		plain, err := v.Open(ctx, r.Binding(vault.AccessToken), r.SealedAccess)
		want := value(vault.AccessToken, i)
		if n > 0 {
			want += fmt.Sprintf(" refresh %d", n)
		}
		if err != nil || string(plain) != want || r.Version != 1+n {
			t.Fatalf("%d: %q, version %d after %d refreshes: %v", i, plain, r.Version, n, err)
		}
	}
}

// refresh is what a server does to a credential: read, open, seal, publish.
func (f *fixture) refresh(v *vault.Vault, i int, n int64) error {
	r, err := f.db.Connection(ctx, f.persons[i].Ref)
	if err != nil {
		return err
	}
	for p, sealed := range map[vault.Purpose][]byte{vault.Email: r.SealedEmail, vault.RefreshToken: r.SealedRefresh} {
		if plain, err := v.Open(ctx, r.Binding(p), sealed); err != nil || string(plain) != value(p, i) {
			return fmt.Errorf("%s: %q %w", p, plain, err)
		}
	}
	return f.publish(v, r, fmt.Sprintf("%s refresh %d", value(vault.AccessToken, i), n))
}

// publish stores a new access token; the vault opens nothing on the way.
func (f *fixture) publish(v *vault.Vault, r *connection.Record, token string) error {
	owner := uuid.New()
	if mine, err := f.db.TakeLease(ctx, r.Ref, r.Version, owner, time.Minute); err != nil || !mine {
		return fmt.Errorf("lease: %v %w", mine, err)
	}
	sealed, err := v.Seal(ctx, r.Binding(vault.AccessToken), []byte(token))
	if err != nil {
		return err
	}
	return f.db.PublishRefresh(ctx, connection.Refreshed{Ref: r.Ref, Version: r.Version, Owner: owner, SealedAccess: sealed, AccessExpires: time.Now().Add(time.Hour)})
}

// TestDeletedKeyIsUsedByNobody: the invariant of decision 0008: a data key goes only when nothing is left under it, and a server
// that still takes it for the active one is refused by the database: nothing is stored that does not open.
func TestDeletedKeyIsUsedByNobody(t *testing.T) {
	t.Parallel()
	f := setUp(t, 2)
	stale := f.vault(t) // a server that read its keys before the rotation
	if _, err := stale.Active(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	old, active := f.rotate(t)
	remove := func(retired time.Duration) bool {
		t.Helper()
		gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, old, retired)
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	if remove(0) {
		t.Fatal("deleted with values left")
	}
	run := f.run(t)
	if _, err := run.Tenant(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	record := func(i int) *connection.Record {
		t.Helper()
		r, err := f.db.Connection(ctx, f.persons[i].Ref)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := f.publish(stale, record(0), value(vault.AccessToken, 0)); err != nil {
		t.Fatal(err)
	}
	if id, _ := vault.KeyID(record(0).SealedAccess); id != old {
		t.Fatalf("the stale server seals under %s: the test shows nothing", id)
	}
	if remove(0) {
		t.Fatal("deleted although a server has just sealed under it")
	}
	if _, err := run.Tenant(ctx, tenant.DefaultID); err != nil {
		t.Fatal(err)
	}
	f.check(t, active)
	if remove(time.Hour) {
		t.Error("deleted before every server can know")
	}
	if gone, err := f.db.DeleteDataKey(ctx, tenant.DefaultID, active, 0); err != nil || gone {
		t.Errorf("the active key was deleted: %v", err)
	}
	if !remove(0) {
		t.Fatal("kept although nothing is left under it")
	}
	before := record(1).SealedAccess
	if err := f.publish(stale, record(1), "lost"); err == nil || errors.Is(err, connection.ErrLost) {
		t.Errorf("the database took a value of a key that is gone: %v", err)
	}
	if !bytes.Equal(record(1).SealedAccess, before) {
		t.Error("what was stored is gone")
	}
	f.check(t, active)
}

// BenchmarkRewrap seals b.N persons' values anew while other goroutines open some: go test -run '^$' -bench Rewrap -benchtime 100000x.
func BenchmarkRewrap(b *testing.B) {
	f := setUp(b, b.N)
	_, active := f.rotate(b)
	server := f.vault(b)
	stop, opened := make(chan struct{}), atomic.Int64{}
	var readers sync.WaitGroup
	for w := range 2 {
		readers.Go(func() {
			for i := w % len(f.persons); ; i = (i + 7919) % len(f.persons) {
				select {
				case <-stop:
					return
				default:
				}
				r, err := f.db.Connection(ctx, f.persons[i].Ref)
				if err == nil {
					_, err = server.Open(ctx, r.Binding(vault.RefreshToken), r.SealedRefresh)
				}
				if err != nil {
					b.Errorf("an open failed: %v", err)
					return
				}
				opened.Add(1)
			}
		})
	}
	run := f.run(b)
	b.ResetTimer()
	p, err := run.Tenant(ctx, tenant.DefaultID)
	b.StopTimer()
	close(stop)
	readers.Wait()
	if err != nil || p.Refused != 0 || len(p.Left) != 0 {
		b.Fatalf("%+v %v", p, err)
	}
	b.ReportMetric(float64(3*b.N)/b.Elapsed().Seconds(), "values/s")
	b.ReportMetric(float64(opened.Load())/b.Elapsed().Seconds(), "opens/s")
	if b.N <= 1000 {
		f.check(b, active)
	}
}
