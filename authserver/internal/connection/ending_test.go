package connection_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/authserver/internal/connection"
)

// TestEndingIsToldOnceADay: of all callers at all replicas one logs the coming end of a connection, and again a day later; a new sign-in starts
// anew. The line names the connection and nobody.
func TestEndingIsToldOnceADay(t *testing.T) {
	t.Parallel()
	f := setUp(t, time.Hour, granted, numbered)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil)) // locks
	replica := func() *connection.Credentials {
		c := f.replica()
		c.Endings, c.Log = f.db, log
		return c
	}
	told := func(what string, times int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 3 {
			c := replica()
			for range 5 {
				wg.Go(func() {
					got, err := c.AccessToken(t.Context(), f.record(), granted, 0, false)
					if err != nil || !got.RefreshExpires.Equal(f.ends.Truncate(time.Microsecond)) {
						t.Errorf("%s: %v, ends %v", what, err, got.RefreshExpires)
					}
				})
			}
		}
		wg.Wait()
		lines := strings.Count(out.String(), "\n")
		if lines != times {
			t.Errorf("%s: %d lines, not %d: %s", what, lines, times, out.String())
		}
		for line := range strings.Lines(out.String()) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) != nil || entry["connection"] != f.ref.Connection.String() || entry["level"] != "WARN" {
				t.Errorf("%s: %s", what, line)
			}
		}
		out.Reset()
	}
	told("no end", 0)
	f.ends = time.Now().Add(25 * time.Hour)
	f.signIn("stored", "r2", time.Hour, granted)
	told("five days left", 0)
	f.ends = time.Now().Add(23 * time.Hour)
	f.signIn("stored", "r3", time.Hour, granted)
	told("the last day", 1)
	told("again", 0)
	f.exec(`UPDATE credentials SET warned_at = warned_at - interval '23 hours' WHERE connection_id = $1`, f.ref.Connection)
	told("less than a day later", 0)
	f.exec(`UPDATE credentials SET warned_at = warned_at - interval '1 hour' WHERE connection_id = $1`, f.ref.Connection)
	told("a day later", 1)
	f.signIn("stored", "", time.Hour, granted)
	told("a sign-in that brings no new refresh token", 0)
	f.signIn("stored", "r4", time.Hour, granted)
	told("a sign-in that does", 1)
}

// TestEndIsKept: the end belongs to the refresh token it was named with: an answer that says nothing of it changes nothing, a new token has its own.
func TestEndIsKept(t *testing.T) {
	t.Parallel()
	f := setUp(t, 0, granted, numbered)
	f.ends = time.Now().Add(100 * time.Hour)
	f.signIn("stored", "r2", 0, granted)
	after := func(what string, want time.Duration) { // from the exchange on; 0: no end
		t.Helper()
		before := time.Now().Add(-time.Second) // the database keeps fewer digits
		if _, err := f.replica().AccessToken(t.Context(), f.record(), granted, 2*time.Hour, false); err != nil {
			t.Fatal(err)
		}
		if got := f.record().RefreshExpires; got.IsZero() != (want == 0) || want != 0 && (got.Before(before.Add(want)) || got.After(time.Now().Add(want))) {
			t.Errorf("%s: ends %v, not %v later", what, got, want)
		}
	}
	if _, err := f.replica().AccessToken(t.Context(), f.record(), granted, 2*time.Hour, false); err != nil {
		t.Fatal(err)
	}
	if got := f.record().RefreshExpires; got.Sub(f.ends).Abs() > time.Millisecond {
		t.Errorf("nothing said: ends %v, not %v", got, f.ends)
	}
	answer := func(members string) func(int, *call) {
		return func(_ int, c *call) {
			_, _ = fmt.Fprintf(c.w, `{"access_token":"a","expires_in":3600,"scope":%q,"token_type":"Bearer"%s}`, granted, members)
		}
	}
	f.google.set(answer(`,"refresh_token_expires_in":7200`))
	after("said again", 2*time.Hour)
	f.google.set(answer(`,"refresh_token":"r3","refresh_token_expires_in":36000`))
	after("a new token with an end", 10*time.Hour)
	f.google.set(answer(`,"refresh_token":"r4"`))
	after("a new token without", 0)
}
