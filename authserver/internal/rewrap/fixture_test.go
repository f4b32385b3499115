package rewrap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	f.persons = pgtest.People(t, f.dsn, v, persons, value)
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
