package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"latchkey/pkg/ratelimit"
)

// TestWindows: over every span of time no more is admitted than the burst and what the rate gives, and under demand no less.
func TestWindows(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		l := ratelimit.Limit{Quota: 1 + random.Int64N(200), Window: time.Duration(1+random.Int64N(3600)) * time.Second, Burst: random.Int64N(100)}
		burst := l.Burst
		if burst == 0 {
			burst = l.Quota
		}
		var tat, now int64
		var admitted []int64
		demand := l.Interval() / (1 + random.Int64N(20)) // at least the rate
		for range 2000 {
			now += random.Int64N(demand + 1)
			if next, ok := l.Take(tat, now, 1); ok {
				tat = next
				admitted = append(admitted, now)
			} else if next != tat {
				t.Fatal("a refusal changed the bucket")
			} else if s := l.State(tat, now); s.Remaining != 0 || s.Retry <= 0 {
				t.Fatalf("refused with %+v", s)
			} else if next, ok := l.Take(tat, now+s.Retry.Microseconds(), 1); !ok || next <= tat {
				t.Fatalf("%+v: refused again after the time that was said", l)
			} else if _, ok := l.Take(tat, now+s.Retry.Microseconds()-1, 1); ok {
				t.Fatalf("%+v: told to wait longer than needed", l)
			}
		}
		for i := range admitted {
			for j := i; j < len(admitted); j += 1 + len(admitted)/50 {
				span := admitted[j] - admitted[i]
				if got, most := int64(j-i+1), burst+span/l.Interval(); got > most {
					t.Fatalf("limit %d %+v: %d in %d us, at most %d", n, l, got, span, most)
				}
			}
		}
		if len(admitted) == 0 || tat <= now && l.State(tat, now).Remaining != burst {
			t.Fatalf("%+v: %d admitted", l, len(admitted))
		}
	}
	l := ratelimit.Limit{Quota: 10, Window: time.Second, Burst: 5}
	var tat, got int64
	for now := int64(0); now < 10e6; now += 1000 { // 1000/s
		next, ok := l.Take(tat, now, 1)
		if tat = next; ok {
			got++
		}
	}
	if got < 104 || got > 105 {
		t.Errorf("%d in ten seconds of 10/s and a burst of 5", got)
	}
}

// TestScaled: a factor keeps the proportions, never becomes a lock, and 0 is no limit.
func TestScaled(t *testing.T) {
	t.Parallel()
	l := ratelimit.Limit{Name: "x", Quota: 120, Window: time.Hour, Burst: 60}
	for factor, want := range map[float64]ratelimit.Limit{
		1: l, 0: {Name: "x"}, 0.5: {Name: "x", Quota: 60, Window: time.Hour, Burst: 30}, 0.001: {Name: "x", Quota: 1, Window: time.Hour, Burst: 1},
		1000: {Name: "x", Quota: 120_000, Window: time.Hour, Burst: 60_000}, 1e300: {Name: "x", Quota: 1e9, Window: time.Hour, Burst: 1e9},
	} {
		if got := l.Scaled(factor); got != want || got.Off() != (factor == 0) {
			t.Errorf("%v: %+v", factor, got)
		}
	}
	if got := (ratelimit.Limit{Quota: 100, Window: time.Minute}).Scaled(2); got.Quota != 200 || got.Burst != 200 {
		t.Errorf("a burst that is the quota: %+v", got)
	}
	if !(ratelimit.Limit{}).Off() || !(ratelimit.Limit{}).Scaled(5).Off() {
		t.Error("the zero limit limits")
	}
}

// TestOfTenant: limits that a tenant may have of its own are known by name, once, and another number keeps the proportions: times its bound none overflows.
func TestOfTenant(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range ratelimit.OfTenants() {
		l, ok := ratelimit.OfTenant(name)
		if !ok || l.Name != name || l.Off() || seen[name] {
			t.Errorf("%s: %+v", name, l)
		}
		seen[name] = true
		most := l.WithQuota(l.Quota * ratelimit.MostOfTenant)
		if now, ok := most.Take(0, 0, 1); !ok || now < 1 || most.Room() <= 0 || most.Scaled(1) != most && most.Burst > 0 {
			t.Errorf("%s at most: %+v", name, most)
		}
		if least := l.WithQuota(1); least.Quota != 1 || least.Scaled(0.001).Quota != 1 || least.Room() < least.Interval() {
			t.Errorf("%s at least: %+v", name, least)
		}
	}
	if l, ok := ratelimit.OfTenant("token"); ok {
		t.Errorf("%+v", l)
	}
	if got := (ratelimit.Limit{Name: "x", Quota: 120, Window: time.Hour, Burst: 60}).WithQuota(37); got.Quota != 37 || got.Burst != 19 || got.Window != time.Hour {
		t.Errorf("%+v", got)
	}
}

// TestHeader: draft-ietf-httpapi-ratelimit-headers, and the fields of its older versions.
func TestHeader(t *testing.T) {
	t.Parallel()
	l := ratelimit.Limit{Name: "token-client", Quota: 3000, Window: time.Minute, Burst: 300}
	for name, row := range map[string]struct {
		tat  int64
		want string
	}{
		"at rest":    {0, `"token-client";q=3000;w=60 "token-client";r=300;t=0 300 300 0`},
		"half":       {3_000_000, `"token-client";q=3000;w=60 "token-client";r=150;t=3 300 150 3`},
		"used up":    {6_000_000, `"token-client";q=3000;w=60 "token-client";r=0;t=1 300 0 1`},
		"far beyond": {9_000_000, `"token-client";q=3000;w=60 "token-client";r=0;t=4 300 0 4`},
	} {
		h := http.Header{}
		l.State(row.tat, 0).SetHeader(h)
		got := fmt.Sprint(h.Get("RateLimit-Policy"), " ", h.Get("RateLimit"), " ", h.Get("RateLimit-Limit"), " ", h.Get("RateLimit-Remaining"), " ", h.Get("RateLimit-Reset"))
		if got != row.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestLocal: all buckets of a request or none, each its own; a flood of names costs bounded memory and nobody else their bucket.
func TestLocal(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	three := ratelimit.Limit{Name: "three", Quota: 3, Window: time.Minute}
	ten := ratelimit.Limit{Name: "ten", Quota: 10, Window: time.Minute}
	b := &ratelimit.Local[string]{Max: 100}
	ask := func(key string, l ratelimit.Limit) ratelimit.Ask[string] {
		return ratelimit.Ask[string]{Key: key, Limit: l}
	}
	for i := range 5 {
		s, ok := b.Take(now, ask("all", ten), ask("a", three))
		if ok != (i < 3) || s.Limit.Name != "three" || s.Remaining != max(0, 2-int64(i)) {
			t.Errorf("%d: %v %+v", i, ok, s)
		}
	}
	if s, ok := b.Take(now, ask("all", ten), ask("b", ratelimit.Limit{})); !ok || s.Remaining != 6 {
		t.Errorf("what was refused has cost another bucket: %+v", s)
	}
	for i := range 10_000 {
		b.Take(now, ask(fmt.Sprint("flood", i), ten))
	}
	if _, ok := b.Take(now, ask("a", three)); ok {
		t.Error("a flood of names gave a bucket back that was used up")
	}
	if n := b.Len(); n > 100 {
		t.Errorf("%d buckets", n)
	}
	if _, ok := b.Take(now.Add(20*time.Second), ask("a", three)); !ok {
		t.Error("no unit after a third of the window")
	}
}
