package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
	"latchkey/pkg/secret"
)

var ctx = context.Background()

func store(t testing.TB, dsn string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func newKEK(t testing.TB) *vault.KEK {
	t.Helper()
	kek, err := vault.CreateKEK(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func newVault(t testing.TB, c vault.Config) *vault.Vault {
	t.Helper()
	v, err := vault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSwapMatrix: DESIGN §1.6: what was sealed for one place opens at no other, and no changed byte is accepted.
func TestSwapMatrix(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	db, other := store(t, dsn), pgtest.Tenant(t, dsn)
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: db})
	home := vault.Binding{Tenant: tenant.DefaultID, Subject: uuid.UUID{1}, Connection: uuid.UUID{2}, Purpose: vault.RefreshToken, Context: "ab"}
	bindings := map[string]vault.Binding{"home": home}
	add := func(name string, change func(*vault.Binding)) {
		b := home
		change(&b)
		bindings[name] = b
	}
	add("other tenant", func(b *vault.Binding) { b.Tenant = other })
	add("other subject", func(b *vault.Binding) { b.Subject = uuid.UUID{9} })
	add("other connection", func(b *vault.Binding) { b.Connection = uuid.UUID{9} })
	add("subject and connection exchanged", func(b *vault.Binding) { b.Subject, b.Connection = b.Connection, b.Subject })
	add("other purpose", func(b *vault.Binding) { b.Purpose = vault.AccessToken })
	add("other context", func(b *vault.Binding) { b.Context = "ac" })
	add("no context", func(b *vault.Binding) { b.Context = "" })
	add("context moved into purpose", func(b *vault.Binding) { b.Purpose, b.Context = b.Purpose+"a", "b" })
	sealed := map[string][]byte{}
	for name, b := range bindings {
		var err error
		if sealed[name], err = v.Seal(ctx, b, []byte("1//secret")); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(sealed[name], []byte("secret")) {
			t.Fatal("sealed value is readable")
		}
	}
	for from, bytesOf := range sealed {
		for to, b := range bindings {
			plain, err := v.Open(ctx, b, bytesOf)
			switch {
			case from == to && (err != nil || string(plain) != "1//secret"):
				t.Errorf("%s does not open at its own place: %v", from, err)
			case from != to && !errors.Is(err, vault.ErrRefused):
				t.Errorf("sealed for %s, opened for %s: %v", from, to, err)
			}
		}
	}
	token := sealed["home"]
	for i := range token {
		changed := bytes.Clone(token)
		changed[i] ^= 1
		for name, b := range map[string][]byte{"changed": changed, "cut": token[:i]} {
			if _, err := v.Open(ctx, home, b); !errors.Is(err, vault.ErrRefused) {
				t.Fatalf("byte %d %s: %v", i, name, err)
			}
		}
	}
	if again, _ := v.Seal(ctx, home, []byte("1//secret")); bytes.Equal(again, token) {
		t.Error("sealing is deterministic: a nonce was used twice")
	}
	for name, b := range map[string]vault.Binding{"no tenant": {Purpose: vault.Email}, "no purpose": {Tenant: tenant.DefaultID}} {
		if _, err := v.Seal(ctx, b, nil); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// TestReplicasAgreeOnTheFirstKey: concurrent first uses of a tenant make one data key, and all read each other's values.
func TestReplicasAgreeOnTheFirstKey(t *testing.T) {
	t.Parallel()
	db, kek := store(t, pgtest.Clone(t)), newKEK(t)
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.SigningKey}
	vaults, sealed := make([]*vault.Vault, 8), make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range vaults {
		vaults[i] = newVault(t, vault.Config{KEK: kek, Store: db})
		wg.Go(func() {
			var err error
			if sealed[i], err = vaults[i].Seal(ctx, b, []byte{byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, v := range vaults {
		for j, s := range sealed {
			if plain, err := v.Open(ctx, b, s); err != nil || plain[0] != byte(j) {
				t.Errorf("replica %d cannot read replica %d: %v", i, j, err)
			}
		}
	}
	if keys, err := db.DataKeys(ctx, tenant.DefaultID); err != nil || len(keys) != 1 {
		t.Errorf("%d data keys: %v", len(keys), err)
	}
	other := newVault(t, vault.Config{KEK: newKEK(t), Store: db})
	if _, err := other.Seal(ctx, b, nil); err == nil || !strings.Contains(err.Error(), kek.ID()) {
		t.Errorf("another key-encryption key: %v", err)
	}
	if _, err := other.Open(ctx, b, sealed[0]); err == nil || errors.Is(err, vault.ErrRefused) {
		t.Errorf("a wrong KEK_FILE reads as a forged value: %v", err)
	}
}

// flaky is a store whose database can be taken away.
type flaky struct {
	vault.DataKeyStore
	away  atomic.Bool
	reads atomic.Int64
}

func (f *flaky) DataKeys(ctx context.Context, t tenant.ID) ([]vault.DataKey, error) {
	f.reads.Add(1)
	if f.away.Load() {
		return nil, errors.New("connection refused")
	}
	return f.DataKeyStore.DataKeys(ctx, t)
}

// TestDatabaseAway: DESIGN §1.5: cached keys serve on, and doubt about a key is not ErrRefused.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	f := &flaky{DataKeyStore: store(t, pgtest.Clone(t))}
	now := time.Now()
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: f, Now: func() time.Time { return now }})
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Email}
	f.away.Store(true)
	if _, err := v.Seal(ctx, b, nil); err == nil {
		t.Fatal("sealed without a data key")
	}
	f.away.Store(false)
	sealed, err := v.Seal(ctx, b, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	f.away.Store(true)
	now = now.Add(time.Hour)
	if _, err := v.Open(ctx, b, sealed); err != nil {
		t.Errorf("a cached key is not used while the database is away: %v", err)
	}
	unknown := bytes.Clone(sealed)
	unknown[5] ^= 1 // another data key id
	if _, err := v.Open(ctx, b, unknown); err == nil || errors.Is(err, vault.ErrRefused) {
		t.Errorf("an unknown data key is refused although nobody could look: %v", err)
	}
	f.away.Store(false)
	if _, err := v.Open(ctx, b, unknown); !errors.Is(err, vault.ErrRefused) {
		t.Error(err)
	}
	before := f.reads.Load()
	for range 100 {
		_, _ = v.Open(ctx, b, unknown)
	}
	if n := f.reads.Load() - before; n > 1 {
		t.Errorf("100 forged values cost %d reads", n)
	}
}

// TestKEKFile: a missing, readable, oversized or foreign file is refused with what to do; an existing one is never overwritten.
func TestKEKFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "kek.json")
	made, err := vault.CreateKEK(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	loaded, err := vault.LoadKEK(path)
	if err != nil || loaded.ID() != made.ID() {
		t.Fatal(loaded, err)
	}
	if _, err := vault.CreateKEK(path); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("overwritten: %v", err)
	}
	write := func(name string, mode os.FileMode, b []byte) string {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(p, b, 0o600), os.Chmod(p, mode)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]string{
		"keys init":     filepath.Join(dir, "absent"),
		"chmod 600":     write("group", 0o640, good),
		"run chmod 600": write("world", 0o604, good),
		"no file":       dir,
		"holds no key":  write("foreign", 0o600, []byte(`{"secret":"s3cr3t"}`)),
		"too large":     write("large", 0o600, bytes.Repeat([]byte(" "), 65<<10)),
	} {
		if _, err := vault.LoadKEK(p); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := vault.New(vault.Config{Store: store(t, "postgres://nobody@/nowhere")}); err == nil {
		t.Error("a vault without key-encryption key") // DESIGN §1.6
	}
}

// TestKEKRotation: a new primary key in the file still opens what the older one wrapped.
func TestKEKRotation(t *testing.T) {
	t.Parallel()
	db, path := store(t, pgtest.Clone(t)), filepath.Join(t.TempDir(), "kek.json")
	old, err := vault.CreateKEK(path)
	if err != nil {
		t.Fatal(err)
	}
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Email}
	sealed, err := newVault(t, vault.Config{KEK: old, Store: db}).Seal(ctx, b, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	if handle, err = manager.Handle(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	rotated, err := vault.LoadKEK(path)
	if err != nil || rotated.ID() == old.ID() {
		t.Fatal(rotated, err)
	}
	if plain, err := newVault(t, vault.Config{KEK: rotated, Store: db}).Open(ctx, b, sealed); err != nil || string(plain) != "x" {
		t.Errorf("a rotated key-encryption key loses stored values: %v", err)
	}
}
