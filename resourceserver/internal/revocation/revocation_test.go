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
	out := &exchange.Revocations{Next: time.Now().Add(-30 * time.Second).UnixMilli()}
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
