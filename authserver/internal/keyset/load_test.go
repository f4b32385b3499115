package keyset_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/discovery"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/pgtest"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/httpx"
	"latchkey/pkg/secret"
)

const (
	// rotations of each purpose in an ordinary run; LATCHKEY_ROTATIONS asks for more.
	rotations = 8
	// rotating is how many tenants rotate at once: each waits most of the time.
	rotating = 4
	// rush is how much faster the verifiers' clock runs: their constants are made
	// for minutes, this test for seconds.
	rush = 20
)

// hurried is a rotation in seconds. Each time is a real one; the lead is nine
// seconds longer than it must be, for a machine that is busy with other tests:
// on one busy processor three were seen to be too few.
var hurried = keyset.Timing{Lead: 10 * time.Second, MaxAge: 500 * time.Millisecond, Refresh: 250 * time.Millisecond}

// balancer sends each request to the next replica, as a load balancer does.
type balancer struct {
	hosts []string
	n     atomic.Uint64
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = b.hosts[b.n.Add(1)%uint64(len(b.hosts))]
	return http.DefaultTransport.RoundTrip(r)
}

// TestRotationUnderLoad: issue 3: while two replicas sign and a verifier follows their JWKS over HTTP, through a balancer,
// key after key is rotated: no verification fails, no code or refresh token of one replica is refused by the other, and no
// verifier ever meets a key id that it does not know.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	wanted := rotations
	if s := os.Getenv("LATCHKEY_ROTATIONS"); s != "" {
		var err error
		if wanted, err = strconv.Atoi(s); err != nil {
			t.Fatal("LATCHKEY_ROTATIONS: ", err)
		}
	}
	f := setUp(t)
	tenants := []tenant.ID{tenant.DefaultID}
	for len(tenants) < rotating {
		tenants = append(tenants, pgtest.Tenant(t, f.dsn))
	}
	known := directory(t, func(t *tenant.Tenant) { t.Lifetimes.AccessToken = 10 * time.Second }, tenants[1:]...)
	b := &balancer{}
	var replicas [2]*keyset.Keyset
	for i := range replicas {
		db, err := postgres.Open(ctx, postgres.Config{URL: secret.NewText(f.dsn)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		replicas[i] = f.configured(t, keyset.Config{Store: db, Tenants: known, Timing: hurried})
		b.hosts = append(b.hosts, serveJWKS(t, replicas[i], known))
	}
	stop := make(chan struct{})
	var running, rotated sync.WaitGroup
	for _, k := range replicas {
		running.Go(func() { k.Run(t.Context()) })
	}
	start := time.Now()
	loads := make([]*load, len(tenants))
	for i, id := range tenants {
		l := &load{
			f: f, tenant: id, replicas: replicas, kids: [2]map[string]bool{{}, {}},
			keys: &accesstoken.RemoteKeys{
				URL: "http://balanced/" + id.String(), HTTP: &http.Client{Transport: b}, Refresh: rush * hurried.MaxAge,
				Now: func() time.Time { return start.Add(rush * time.Since(start)) },
			},
		}
		loads[i] = l
		for from := range replicas {
			running.Go(func() { l.run(t, stop, from) })
		}
		rotated.Go(func() { l.rotate(t, (wanted+len(tenants)-1)/len(tenants)) })
	}
	rotated.Wait()
	took := time.Since(start)
	close(stop)
	var signed, again, parsed, changed, fetched = 0, 0, 0, 0, b.n.Load()
	for _, l := range loads {
		l.mu.Lock()
		signed, again, parsed, changed = signed+l.signed, again+l.again, parsed+l.parsed, changed+l.rotated
		for i, kids := range l.kids {
			if len(kids) < l.rotated+1 {
				t.Errorf("replica %d: tokens of %d keys were verified in %d rotations", i, len(kids), l.rotated)
			}
		}
		if n := l.keys.Unknown(); n != 0 {
			t.Errorf("the verifier met %d unknown key ids", n)
		}
		l.mu.Unlock()
	}
	t.Logf("%d rotations of each purpose in %v: %d tokens verified, %d of them again later, %d codes and refresh tokens read by the other replica, key sets fetched %d times",
		changed, took.Round(time.Millisecond), signed, again, parsed, fetched)
	if changed < wanted || signed < 20*wanted || again == 0 || fetched < uint64(wanted) {
		t.Error("there was no load worth the name")
	}
	t.Cleanup(running.Wait) // Run ends with the test's context
}

// serveJWKS runs the real handler of a replica; the path is the tenant.
func serveJWKS(t testing.TB, k *keyset.Keyset, known func() *tenant.Directory) string {
	t.Helper()
	h := &discovery.Handler{Tenants: known, Keys: k.For}
	jwks := httpx.Observe(slog.New(slog.DiscardHandler), web.OAuthJSON(h.JWKS))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := tenant.ParseID(r.URL.Path[1:])
		if tn, ok := known().ByID(id); err == nil && ok {
			jwks.ServeHTTP(w, r.WithContext(tenant.WithTenant(r.Context(), tn)))
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// load is one tenant's traffic.
type load struct {
	f        *fixture
	tenant   tenant.ID
	replicas [2]*keyset.Keyset
	keys     *accesstoken.RemoteKeys

	mu                             sync.Mutex
	kids                           [2]map[string]bool // of verified tokens, by the replica that signed
	signed, again, parsed, rotated int
}

// run signs at one replica and has everything checked elsewhere, a few dozen
// times a second: one core shall not be busy with this alone, or what the test
// waits for comes late by its own doing.
func (l *load) run(t *testing.T, stop <-chan struct{}, from int) {
	type kept struct {
		token, refresh string
		until          time.Time
	}
	var olds []kept
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		mine, err := l.replicas[from].For(t.Context(), l.tenant)
		other, err2 := l.replicas[1-from].For(t.Context(), l.tenant)
		if err = errors.Join(err, err2); err != nil {
			t.Error(err)
			return
		}
		until := time.Now().Add(9 * time.Second) // exp has whole seconds
		token, id := sign(t, mine, 10*time.Second), uuid.Must(uuid.NewV7())
		code, refresh := mine.Codec().Code(id).Reveal(), mine.Codec().RefreshToken(id, 7).Reveal()
		if err := errors.Join(verify(t, l.keys, token), verify(t, other, token), reads(other, id, code, refresh)); err != nil {
			t.Error(err)
			return
		}
		kid, _ := header(t, token)
		again := 0
		if len(olds) > 0 { // one that was made before, perhaps by a key that is retired by now
			if old := olds[i%len(olds)]; time.Now().Before(old.until) {
				_, _, err := other.Codec().ParseRefreshToken(old.refresh)
				if err := errors.Join(verify(t, l.keys, old.token), err); err != nil {
					t.Error("made before: ", err)
					return
				}
				again++
			}
		}
		if made := (kept{token, refresh, until}); len(olds) < 512 {
			olds = append(olds, made)
		} else {
			olds[i%512] = made
		}
		l.mu.Lock()
		l.kids[from][kid] = true
		l.signed, l.again, l.parsed = l.signed+1, l.again+again, l.parsed+2
		l.mu.Unlock()
	}
}

func reads(s *keyset.Set, id uuid.UUID, code, refresh string) error {
	a, err := s.Codec().ParseCode(code)
	b, generation, err2 := s.Codec().ParseRefreshToken(refresh)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if a != id || b != id || generation != 7 {
		return fmt.Errorf("read %v, %v and %d", a, b, generation)
	}
	return nil
}

// rotate rotates both purposes, as an operator does, n times, each time as soon
// as the replicas have done the last one.
func (l *load) rotate(t *testing.T, n int) {
	o := &keyset.Operator{Store: l.f.db, Vault: l.f.vault(t)}
	tick := time.NewTicker(20 * time.Millisecond) // the replicas' turns are seen in the database only
	defer tick.Stop()
	deadline := time.Now().Add(time.Duration(n+10) * 4 * hurried.Lead)
	published := func(p keyset.Purpose) bool {
		_, err := o.Publish(ctx, l.tenant, p)
		switch {
		case err == nil:
			return true
		case errors.Is(err, keyset.ErrNextExists), errors.Is(err, keyset.ErrTooManyKeys), errors.Is(err, keyset.ErrNoKeys): // later
		default:
			t.Error(err)
		}
		return false
	}
	for done := 0; done <= n; done++ { // the last one waits only
		for _, p := range keyset.Purposes() {
			for !t.Failed() && !(done == n && !l.pending(t, p)) && !(done < n && published(p)) {
				if time.Now().After(deadline) {
					t.Error("the replicas do not rotate")
					return
				}
				<-tick.C
			}
		}
		l.mu.Lock()
		l.rotated = done
		l.mu.Unlock()
	}
	// What the last key signs is to be seen, too, of both replicas.
	for !t.Failed() && !l.seen(n+1) && time.Now().Before(deadline) {
		<-tick.C
	}
}

// seen reports whether each replica's tokens of n keys were verified.
func (l *load) seen(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kids[0]) >= n && len(l.kids[1]) >= n
}

// pending reports whether a key is next.
func (l *load) pending(t *testing.T, p keyset.Purpose) bool {
	t.Helper()
	records, err := l.f.db.SigningKeys(ctx, l.tenant)
	if err != nil {
		t.Error(err)
	}
	for _, r := range records {
		if r.Purpose == p && r.State == keyset.Next {
			return true
		}
	}
	return false
}
