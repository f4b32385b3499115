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

// TestKEKRotation: a key that is added to the file unwraps and does not wrap; promoted, it wraps, and the older ones unwrap; the
// file is never half written, what it was is kept, and of two commands at once one is refused.
func TestKEKRotation(t *testing.T) {
	t.Parallel()
	db, dir := store(t, pgtest.Clone(t)), t.TempDir()
	path := filepath.Join(dir, "kek.json")
	old, err := vault.CreateKEK(path)
	if err != nil {
		t.Fatal(err)
	}
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Email}
	sealed, err := newVault(t, vault.Config{KEK: old, Store: db}).Seal(ctx, b, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(path string) *vault.KEK {
		t.Helper()
		k, err := vault.LoadKEK(path)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	opens := func(name string, k *vault.KEK) {
		t.Helper()
		if plain, err := newVault(t, vault.Config{KEK: k, Store: db}).Open(ctx, b, sealed); err != nil || string(plain) != "x" {
			t.Errorf("%s loses stored values: %v", name, err)
		}
	}
	if _, _, err := vault.PromoteKEK(path); err == nil || !strings.Contains(err.Error(), "add one first") {
		t.Errorf("promoted what wraps already: %v", err)
	}
	id, kept, err := vault.AddKEK(path)
	if err != nil {
		t.Fatal(err)
	}
	added := load(path)
	if added.ID() != old.ID() || id == old.ID() || load(kept).ID() != old.ID() {
		t.Errorf("added %s, wraps %s, kept %s", id, added.ID(), kept)
	}
	opens("an added key", added)
	promoted, _, err := vault.PromoteKEK(path)
	if err != nil || promoted != id {
		t.Fatal(promoted, err)
	}
	rotated := load(path)
	if rotated.ID() != id {
		t.Errorf("%s wraps, not %s", rotated.ID(), id)
	}
	opens("a promoted key", rotated)
	// A server that has the added key and was not restarted opens what the promoted one wraps.
	keys, err := db.DataKeys(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := vault.Rewrap(ctx, rotated, tenant.DefaultID, keys[0])
	if err != nil || wrapped.KEK != id {
		t.Fatal(wrapped.KEK, err)
	}
	if done, err := db.StoreWrapped(ctx, tenant.DefaultID, old.ID(), wrapped); err != nil || !done {
		t.Fatal(done, err)
	}
	if done, err := db.StoreWrapped(ctx, tenant.DefaultID, old.ID(), wrapped); err != nil || done {
		t.Errorf("a slower run stored its key over another's: %v", err)
	}
	opens("a server with the added key", added)
	if _, err := newVault(t, vault.Config{KEK: old, Store: db}).Open(ctx, b, sealed); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("the file as it was opens what the new key wraps: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 || strings.HasSuffix(f.Name(), ".new") {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil { // a command is at work
		t.Fatal(err)
	}
	if _, _, err := vault.AddKEK(path); err == nil || !strings.Contains(err.Error(), "at work") {
		t.Errorf("two commands at once: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("a refused command changed the file")
	}
}

// TestConcurrentAddKEK: of many commands at once on one file, none loses the key of another.
func TestConcurrentAddKEK(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek.json")
	if _, err := vault.CreateKEK(path); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var added atomic.Int64
	for range 16 {
		wg.Go(func() {
			if _, _, err := vault.AddKEK(path); err == nil {
				added.Add(1)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(bytes.Count(b, []byte("keyId\":"))); added.Load() == 0 || n != added.Load()+1 {
		t.Errorf("%d commands succeeded, the file has %d keys", added.Load(), n)
	}
}

// service is a key management service that can be away, and counts.
type service struct {
	away  atomic.Bool
	calls atomic.Int64
}

func (s *service) EncryptWithContext(_ context.Context, raw, associated []byte) ([]byte, error) {
	return append(bytes.Clone(associated), raw...), s.call()
}

func (s *service) DecryptWithContext(_ context.Context, wrapped, associated []byte) ([]byte, error) {
	raw, ok := bytes.CutPrefix(wrapped, associated)
	if err := s.call(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, vault.ErrWrongKEK
	}
	return raw, nil
}

func (s *service) call() error {
	s.calls.Add(1)
	if s.away.Load() {
		return vault.ErrKEKAway
	}
	return nil
}

// TestKeyServiceAway: OPERATIONS §6: data keys that were unwrapped serve on however long the service is away, reading the keys
// again costs it no call, a new data key is used when it is back, and a key that is not known is doubt.
func TestKeyServiceAway(t *testing.T) {
	t.Parallel()
	s, db := &service{}, store(t, pgtest.Clone(t))
	kek := vault.NewKEK(s, "test")
	var now atomic.Int64
	v := newVault(t, vault.Config{KEK: kek, Store: db, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Email}
	seal := func() []byte {
		t.Helper()
		sealed, err := v.Seal(ctx, b, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := v.Open(ctx, b, sealed); err != nil || string(plain) != "x" {
			t.Fatal(err)
		}
		return sealed
	}
	s.away.Store(true)
	if _, err := v.Seal(ctx, b, nil); !errors.Is(err, vault.ErrKEKAway) || errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("first use without the service: %v", err)
	}
	s.away.Store(false)
	first := seal()
	s.away.Store(true)
	before := s.calls.Load()
	for range 3 {
		now.Add(int64(time.Hour / time.Second))
		seal()
	}
	if n := s.calls.Load() - before; n != 0 {
		t.Errorf("reading known keys again cost %d calls", n)
	}
	s.away.Store(false)
	active, err := v.Active(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := vault.NewDataKey(ctx, kek, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := db.RotateDataKey(ctx, tenant.DefaultID, active, fresh); err != nil || !done {
		t.Fatal(done, err)
	}
	s.away.Store(true)
	now.Add(int64(time.Hour / time.Second))
	before = s.calls.Load()
	for range 50 {
		if id, _ := vault.KeyID(seal()); id != active {
			t.Errorf("sealed under %s, which nobody could unwrap", id)
		}
	}
	if n := s.calls.Load() - before; n != 1 {
		t.Errorf("%d calls to a service that is away, for 100 uses at one time", n)
	}
	if _, err := newVault(t, vault.Config{KEK: kek, Store: db}).Open(ctx, b, first); !errors.Is(err, vault.ErrKEKAway) || errors.Is(err, vault.ErrRefused) {
		t.Errorf("a server that has just started: %v", err)
	}
	s.away.Store(false)
	now.Add(int64(time.Minute / time.Second))
	if id, _ := vault.KeyID(seal()); id != fresh.ID {
		t.Errorf("the new key is not used: %s", id)
	}
	if plain, err := v.Open(ctx, b, first); err != nil || string(plain) != "x" {
		t.Errorf("the retired key does not open: %v", err)
	}
}

// TestNewKeyIsSeenAtOnce: what another server seals under a new data key opens at once, however fresh the keys in memory are and
// however many ask; a new key is never taken for a forged one.
func TestNewKeyIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	db, kek := store(t, pgtest.Clone(t)), newKEK(t)
	b := vault.Binding{Tenant: tenant.DefaultID, Purpose: vault.Email}
	reader := newVault(t, vault.Config{KEK: kek, Store: db})
	active, err := reader.Active(ctx, tenant.DefaultID)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		fresh, err := vault.NewDataKey(ctx, kek, tenant.DefaultID)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := db.RotateDataKey(ctx, tenant.DefaultID, active, fresh); err != nil || !done {
			t.Fatal(done, err)
		}
		active = fresh.ID
		sealed, err := newVault(t, vault.Config{KEK: kek, Store: db}).Seal(ctx, b, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if plain, err := reader.Open(ctx, b, sealed); err != nil || string(plain) != "x" {
					t.Errorf("a new key: %v", err)
				}
			})
		}
		wg.Wait()
	}
}

// TestRetain: the keys of tenants that are gone are forgotten, those of the others serve on from memory.
func TestRetain(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Clone(t)
	f := &flaky{DataKeyStore: store(t, dsn)}
	v := newVault(t, vault.Config{KEK: newKEK(t), Store: f})
	gone := pgtest.Tenant(t, dsn)
	for _, of := range []tenant.ID{gone, tenant.DefaultID} {
		if _, err := v.Seal(ctx, vault.Binding{Tenant: of, Purpose: vault.SigningKey}, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	f.away.Store(true) // what is not in memory is nowhere
	v.Retain(func(of tenant.ID) bool { return of != gone })
	for of, want := range map[tenant.ID]bool{gone: false, tenant.DefaultID: true} {
		if _, err := v.Seal(ctx, vault.Binding{Tenant: of, Purpose: vault.SigningKey}, []byte("x")); (err == nil) != want {
			t.Errorf("%s: %v", of, err)
		}
	}
}
