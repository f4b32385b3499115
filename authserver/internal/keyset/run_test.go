package keyset_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// sealer seals nothing; what seals is the vault's own tests' matter.
type sealer struct{}

func (*sealer) Seal(_ context.Context, _ vault.Binding, b []byte) ([]byte, error) { return b, nil }
func (*sealer) Open(_ context.Context, _ vault.Binding, b []byte) ([]byte, error) { return b, nil }

// memory keeps first keys and notes when it is read. Transitions are real
// PostgreSQL's matter: see rotation_test.go.
type memory struct {
	keyset.Store
	mu    sync.Mutex
	keys  map[tenant.ID][]keyset.Record
	reads map[tenant.ID][]time.Time
	away  bool
	fail  map[tenant.ID]bool
}

func newMemory() *memory {
	return &memory{keys: map[tenant.ID][]keyset.Record{}, reads: map[tenant.ID][]time.Time{}, fail: map[tenant.ID]bool{}}
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) SigningKeys(_ context.Context, t tenant.ID) ([]keyset.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads[t] = append(m.reads[t], time.Now())
	if m.away || m.fail[t] {
		return nil, errors.New("connection refused")
	}
	return m.keys[t], nil
}

func (m *memory) InsertSigningKey(_ context.Context, t tenant.ID, r keyset.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.State, r.TokenLife = keyset.Active, math.MaxInt64
	m.keys[t] = append(m.keys[t], r)
	return nil
}

// ids are tenants of nobody's database.
func ids(t testing.TB, n int) []tenant.ID {
	t.Helper()
	var out []tenant.ID
	for i := range n {
		id, err := tenant.ParseID("00000000-0000-7000-8000-0000000000" + string(rune('a'+i/6)) + string(rune('a'+i%6)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

// TestRunKeepsSetsFresh: every tenant's set is read again before it is Refresh old, with jitter, with no request asking;
// an outage is survived, and costs a bounded number of questions; Run ends with its context.
func TestRunKeepsSetsFresh(t *testing.T) {
	t.Parallel()
	others := ids(t, 9)
	tenants := directory(t, nil, others...)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, err := keyset.New(keyset.Config{Store: m, Vault: &sealer{}, Tenants: tenants})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.Run(running); close(done) }()
		time.Sleep(time.Hour) // the bubble's clock
		gaps := map[time.Duration]bool{}
		m.set(func() {
			for id, at := range m.reads {
				for i := 3; i < len(at); i++ { // the first reads made the keys
					gap := at[i].Sub(at[i-1])
					gaps[gap] = true
					if gap > keyset.DefaultTiming().Refresh || gap < keyset.DefaultTiming().Refresh/2 {
						t.Errorf("tenant %s was read again after %v", id, gap)
					}
				}
			}
			if len(m.reads) != 10 || len(gaps) < 10 {
				t.Errorf("%d tenants read, %d different gaps", len(m.reads), len(gaps))
			}
			m.away, m.reads = true, map[tenant.ID][]time.Time{}
		})
		time.Sleep(time.Hour)
		m.set(func() {
			n := 0
			for _, at := range m.reads {
				n += len(at)
			}
			if n < 3*120 || n > 3*241 {
				t.Errorf("%d questions in an hour of outage", n)
			}
			m.away, m.reads = false, map[tenant.ID][]time.Time{}
		})
		time.Sleep(keyset.DefaultTiming().Refresh)
		m.set(func() {
			if len(m.reads) != 10 {
				t.Errorf("%d tenants read after the outage", len(m.reads))
			}
		})
		stop()
		<-done
	})
}

// TestOneTenantsTroubleIsItsOwn: a tenant whose keys cannot be read holds no other tenant up.
func TestOneTenantsTroubleIsItsOwn(t *testing.T) {
	t.Parallel()
	others := ids(t, 20)
	tenants := directory(t, nil, others...)
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.fail[others[0]], m.fail[others[1]], m.fail[others[2]] = true, true, true
		k, err := keyset.New(keyset.Config{Store: m, Vault: &sealer{}, Tenants: tenants})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		go k.Run(running)
		time.Sleep(time.Hour)
		stop()
		m.set(func() {
			for _, id := range others[3:] {
				if n := len(m.reads[id]); n < 140 { // of about 160
					t.Errorf("tenant %s was read %d times in an hour", id, n)
				}
			}
		})
	})
}

// TestOldSetsAreNotUsed: a key that a set lacks may sign Lead after the set was read: the JWKS' age shrinks as the set
// ages, and a set that may lack a key is doubt, however long the database is away; sets follow the wall clock, which a
// suspended machine's monotonic one does not.
func TestOldSetsAreNotUsed(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for name, c := range map[string]struct {
		age    time.Duration
		away   bool
		maxAge time.Duration // -1: refused
	}{
		"fresh":                                 {0, true, 5 * time.Minute},
		"as old as two refreshes":               {time.Minute, true, 5 * time.Minute},
		"one lead less one refresh less an age": {90 * time.Second, true, 5 * time.Minute},
		"older":                                 {2 * time.Minute, true, 4*time.Minute + 30*time.Second},
		"about to be incomplete":                {6*time.Minute + 29*time.Second, true, time.Second},
		"incomplete":                            {6*time.Minute + 30*time.Second, true, -1},
		"a day":                                 {24 * time.Hour, true, -1},
		"a day, the database answers":           {24 * time.Hour, false, 5 * time.Minute},
		"the clock was set back":                {-time.Hour, true, -1},
		"the clock was set back, answered":      {-time.Hour, false, 5 * time.Minute},
	} {
		m := newMemory()
		now := start
		k, err := keyset.New(keyset.Config{Store: m, Vault: &sealer{}, Tenants: directory(t, nil), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.For(ctx, tenant.DefaultID); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) { // waits for reads in the background
			now = start.Add(c.age)
			m.set(func() { m.away = c.away })
			set, err := k.For(ctx, tenant.DefaultID)
			synctest.Wait()
			if (err != nil) != (c.maxAge < 0) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil && set.MaxAge() != c.maxAge {
				t.Errorf("%s: max-age %v", name, set.MaxAge())
			}
		})
	}
}
