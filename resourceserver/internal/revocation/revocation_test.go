package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/revocation"
)

// feed is an authorization server's list of revocations in memory, which pages
// by two.
type feed struct {
	mu    sync.Mutex
	list  []string
	at    []time.Time
	down  bool
	asked int

	epochs []exchange.Epoch // told each time
}

func (f *feed) revoke(grant string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list, f.at = append(f.list, grant), append(f.at, time.Now())
}

func (f *feed) fail(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *feed) Revocations(_ context.Context, since time.Time) (*exchange.Revocations, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.down {
		return nil, errors.New("down")
	}
	out := &exchange.Revocations{Epochs: f.epochs, Next: time.Now().Add(-30 * time.Second).UnixMilli()}
	for i, at := range f.at {
		if at.Before(since) {
			continue
		}
		if len(out.Grants) == 2 {
			out.More, out.Next = true, at.UnixMilli()
			break
		}
		out.Grants = append(out.Grants, f.list[i])
	}
	return out, nil
}

func of(grant string) *accesstoken.Principal {
	return &accesstoken.Principal{Tenant: "t", Subject: "s", ClientID: "c", Grant: grant}
}

// TestRevokedWithinTenSeconds: DESIGN §4: a revoked grant is known within 10 s, what is cached of it goes once, and an outage
// of the feed forgets nothing and invents nothing.
func TestRevokedWithinTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{}
		dropped := map[string]int{}
		follower := revocation.New(revocation.Config{Feed: f, Revoked: func(revoked func(tenant, subject, grant string) bool) {
			for i := range 7 {
				if g := fmt.Sprint(i); revoked("t", "s", g) {
					dropped[g]++
				}
			}
			if revoked("t", "s", "other") {
				t.Error("what lives was dropped")
			}
		}})
		f.revoke("before the start")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { follower.Run(ctx); close(done) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		if !follower.Revoked(of("before the start")) || follower.Revoked(of("other")) {
			t.Error("what was revoked before the start is not known")
		}
		for i := range 7 { // several pages
			f.revoke(fmt.Sprint(i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		for i := range 7 {
			if !follower.Revoked(of(fmt.Sprint(i))) {
				t.Errorf("%d is not known after 10 s", i)
			}
		}
		if follower.Age() > 10*time.Second {
			t.Error(follower.Age())
		}
		f.fail(true)
		f.revoke("in the outage")
		time.Sleep(time.Minute)
		if !follower.Revoked(of("3")) || follower.Revoked(of("in the outage")) || follower.Age() < 50*time.Second {
			t.Error("the outage changed what is known, or does not show", follower.Age())
		}
		f.fail(false)
		time.Sleep(10 * time.Second)
		if !follower.Revoked(of("in the outage")) {
			t.Error("what was revoked in the outage is not known afterwards")
		}
		for g, n := range dropped {
			if n != 1 {
				t.Errorf("%s was dropped %d times", g, n)
			}
		}
		before := f.count()
		time.Sleep(time.Hour)
		if n := f.count() - before; n > 1500 {
			t.Errorf("asked %d times in an hour", n)
		}
		time.Sleep(24 * time.Hour) // no access token lives longer
		if follower.Revoked(of("3")) {
			t.Error("remembered for ever")
		}
	})
}

// TestEpochs: issue 5, DESIGN §4: one entry ends everything that was granted up to a time, of everybody, a tenant, a person, a client
// or both, exactly: not what was granted a microsecond later, nor what is another's. What is kept does not grow with the grants.
func TestEpochs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	mine := accesstoken.Principal{Tenant: "t", Subject: "s", ClientID: "c", Grant: "g", Granted: at}
	with := func(change func(*accesstoken.Principal)) *accesstoken.Principal {
		p := mine
		change(&p)
		return &p
	}
	later := with(func(p *accesstoken.Principal) { p.Granted = at.Add(time.Microsecond) })
	tenant := with(func(p *accesstoken.Principal) { p.Tenant = "t2" })
	person := with(func(p *accesstoken.Principal) { p.Subject = "s2" })
	client := with(func(p *accesstoken.Principal) { p.ClientID = "c2" })
	machine := with(func(p *accesstoken.Principal) { p.Grant, p.Subject = "", "client:c" })
	for name, row := range map[string]struct {
		epoch   exchange.Epoch
		ends    []*accesstoken.Principal
		stay    []*accesstoken.Principal
		dropped [][2]string // tenant and subject of what is cached
		cached  [][2]string
	}{
		"everybody": {exchange.Epoch{}, []*accesstoken.Principal{&mine, tenant, person, client, machine}, nil, [][2]string{{"t", "s"}, {"t2", "s2"}}, nil},
		"a tenant":  {exchange.Epoch{Tenant: "t"}, []*accesstoken.Principal{&mine, person, client, machine}, []*accesstoken.Principal{tenant}, [][2]string{{"t", "s"}, {"t", "s2"}}, [][2]string{{"t2", "s"}}},
		"a person":  {exchange.Epoch{Tenant: "t", Subject: "s"}, []*accesstoken.Principal{&mine, client}, []*accesstoken.Principal{tenant, person, machine}, [][2]string{{"t", "s"}}, [][2]string{{"t", "s2"}, {"t2", "s"}}},
		"a client":  {exchange.Epoch{Tenant: "t", Client: "c"}, []*accesstoken.Principal{&mine, person, machine}, []*accesstoken.Principal{tenant, client}, [][2]string{{"t", "s"}}, [][2]string{{"t2", "s"}}},
		"both":      {exchange.Epoch{Tenant: "t", Subject: "s", Client: "c"}, []*accesstoken.Principal{&mine}, []*accesstoken.Principal{tenant, person, client, machine}, [][2]string{{"t", "s"}}, [][2]string{{"t", "s2"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			row.epoch.Before = at.UnixMicro()
			older := row.epoch
			older.Before -= 1000
			f := &feed{epochs: []exchange.Epoch{row.epoch, older}} // an older one takes nothing back
			drops := 0
			follower := revocation.New(revocation.Config{Feed: f, Revoked: func(revoked func(tenant, subject, grant string) bool) {
				drops++
				for _, c := range row.dropped {
					if !revoked(c[0], c[1], "g") {
						t.Errorf("%s: %v stays in the cache", name, c)
					}
				}
				for _, c := range row.cached {
					if revoked(c[0], c[1], "g") {
						t.Errorf("%s: %v is dropped", name, c)
					}
				}
			}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { follower.Run(ctx); close(done) }()
			defer func() { cancel(); <-done }()
			time.Sleep(10 * time.Second)
			for _, p := range row.ends {
				if !follower.Revoked(p) {
					t.Errorf("%s: %+v is served", name, p)
				}
			}
			for _, p := range append(row.stay, later) {
				if follower.Revoked(p) {
					t.Errorf("%s: %+v is refused", name, p)
				}
			}
			if drops != 1 {
				t.Errorf("%s: the cache was dropped %d times", name, drops)
			}
			f.mu.Lock()
			f.epochs = nil
			f.mu.Unlock()
			time.Sleep(25 * time.Hour) // no access token lives longer
			if follower.Revoked(&mine) {
				t.Errorf("%s: remembered for ever", name)
			}
		})
	}
}
