package keyset_test

import (
	"testing"
	"time"

	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/tenant"
)

// TestTimingInvariant: Lead >= MaxAge + 2*Refresh, or a key could sign before everybody knows it: the constructor refuses.
func TestTimingInvariant(t *testing.T) {
	t.Parallel()
	f := &fixture{}
	for name, c := range map[string]struct {
		change func(*keyset.Timing)
		ok     bool
	}{
		"default":                          {func(*keyset.Timing) {}, true},
		"by hand only":                     {func(c *keyset.Timing) { c.Period = 0 }, true},
		"exactly enough lead":              {func(c *keyset.Timing) { c.Lead = c.MaxAge + 2*c.Refresh }, true},
		"a lead that is too short":         {func(c *keyset.Timing) { c.Lead = c.MaxAge + 2*c.Refresh - 1 }, false},
		"copies older than the lead":       {func(c *keyset.Timing) { c.MaxAge = c.Lead }, false},
		"sets older than the lead":         {func(c *keyset.Timing) { c.Refresh = c.Lead }, false},
		"no refresh":                       {func(c *keyset.Timing) { c.Refresh = 0 }, false},
		"negative age":                     {func(c *keyset.Timing) { c.MaxAge = -1 }, false},
		"negative period":                  {func(c *keyset.Timing) { c.Period = -1 }, false},
		"a period shorter than two leads":  {func(c *keyset.Timing) { c.Period = 2*c.Lead - 1 }, false},
		"a period of exactly two leads":    {func(c *keyset.Timing) { c.Period = 2 * c.Lead }, true},
		"copies that may not be kept":      {func(c *keyset.Timing) { c.MaxAge = 0 }, true},
		"a longer lead than there must be": {func(c *keyset.Timing) { c.Lead = time.Hour }, true},
	} {
		timing := keyset.DefaultTiming()
		c.change(&timing)
		_, err := keyset.New(keyset.Config{Store: f.db, Vault: &sealer{}, Tenants: directory(t, nil), Timing: timing})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keyset.New(keyset.Config{Store: f.db, Vault: &sealer{}}); err == nil {
		t.Error("a key set without tenants")
	}
}

// TestDue: AS-K6: next -> active -> retired -> deleted: what a purpose's keys wait for, one row per rule.
func TestDue(t *testing.T) {
	t.Parallel()
	const (
		day  = 24 * time.Hour
		life = 10 * time.Minute
		keep = life + 7*time.Minute + 30*time.Second // token life, lead, leeway
	)
	key := func(s keyset.State, age time.Duration) keyset.Record {
		return keyset.Record{Purpose: keyset.ForAccessTokens, Alg: "ES256", State: s, Age: age, TokenLife: life}
	}
	crowd := []keyset.Record{key(keyset.Active, 40*day)}
	for len(crowd) < keyset.Limit(keyset.ForAccessTokens) {
		crowd = append(crowd, key(keyset.Retired, time.Minute))
	}
	publish, advance, nothing := keyset.Due{Publish: true}, keyset.Due{Advance: true}, keyset.Due{}
	for name, c := range map[string]struct {
		keys   []keyset.Record
		alg    string
		period time.Duration
		want   keyset.Due
	}{
		"a young key":                       {[]keyset.Record{key(keyset.Active, day)}, "ES256", 30 * day, nothing},
		"just before the lead":              {[]keyset.Record{key(keyset.Active, 30*day-7*time.Minute-1)}, "ES256", 30 * day, nothing},
		"the lead before its period ends":   {[]keyset.Record{key(keyset.Active, 30*day-7*time.Minute)}, "ES256", 30 * day, publish},
		"long after its period":             {[]keyset.Record{key(keyset.Active, 300*day)}, "ES256", 30 * day, publish},
		"by hand only, however old":         {[]keyset.Record{key(keyset.Active, 300*day)}, "ES256", 0, nothing},
		"one next is enough":                {[]keyset.Record{key(keyset.Active, 31*day), key(keyset.Next, time.Minute)}, "ES256", 30 * day, nothing},
		"another algorithm":                 {[]keyset.Record{key(keyset.Active, day)}, "EdDSA", 30 * day, publish},
		"another algorithm, by hand only":   {[]keyset.Record{key(keyset.Active, day)}, "RS256", 0, publish},
		"another algorithm is next already": {[]keyset.Record{key(keyset.Active, day), key(keyset.Next, time.Minute)}, "EdDSA", 30 * day, nothing},
		"next, not yet known everywhere":    {[]keyset.Record{key(keyset.Active, day), key(keyset.Next, 7*time.Minute-1)}, "ES256", 30 * day, nothing},
		"next, known everywhere":            {[]keyset.Record{key(keyset.Active, day), key(keyset.Next, 7*time.Minute)}, "ES256", 30 * day, advance},
		"retired, a token may live":         {[]keyset.Record{key(keyset.Active, day), key(keyset.Retired, keep-1)}, "ES256", 30 * day, nothing},
		"retired, no token can live":        {[]keyset.Record{key(keyset.Active, day), key(keyset.Retired, keep)}, "ES256", 30 * day, advance},
		"longer tokens than noted":          {[]keyset.Record{{Purpose: keyset.ForAccessTokens, Alg: "ES256", State: keyset.Active, TokenLife: life - 1}}, "ES256", 30 * day, advance},
		"shorter tokens than noted":         {[]keyset.Record{{Purpose: keyset.ForAccessTokens, Alg: "ES256", State: keyset.Active, TokenLife: day}}, "ES256", 30 * day, nothing},
		"another purpose's keys":            {[]keyset.Record{{Purpose: keyset.ForGrants, Alg: "HS256", State: keyset.Active, Age: 300 * day}}, "ES256", 30 * day, nothing},
		"as many as verifiers hold":         {crowd, "ES256", 30 * day, nothing},
		"one fewer than verifiers hold":     {crowd[1:], "ES256", 30 * day, nothing},
		"room for one more":                 {crowd[:len(crowd)-1], "ES256", 30 * day, publish},
		"none at all: the first use's task": {nil, "ES256", 30 * day, nothing},
	} {
		timing := keyset.DefaultTiming()
		timing.Period = c.period
		if got := timing.Due(c.keys, keyset.ForAccessTokens, c.alg, life); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestMACKeysOutliveRefreshTokens: a retired MAC key verifies for the idle life of refresh tokens, never longer than
// the absolute one, and a day.
func TestMACKeysOutliveRefreshTokens(t *testing.T) {
	t.Parallel()
	life := tenant.DefaultLifetimes().RefreshIdle
	timing := keyset.DefaultTiming()
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{{life, false}, {life + 24*time.Hour, false}, {life + 24*time.Hour + timing.Lead, true}} {
		r := keyset.Record{Purpose: keyset.ForGrants, Alg: "HS256", State: keyset.Retired, Age: c.age, TokenLife: life}
		if got := timing.Due([]keyset.Record{r}, keyset.ForGrants, "HS256", life); got.Advance != c.want {
			t.Errorf("retired for %v: %+v", c.age, got)
		}
	}
}
