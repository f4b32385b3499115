package connection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/google"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// ledger is the one credential of a test of time: a database cannot be in a
// bubble. Its changes are conditional as the real ones are.
type ledger struct {
	mu     sync.Mutex
	record connection.Record
	owner  uuid.UUID
	until  time.Time
	leases int
}

func newLedger(life time.Duration) *ledger {
	return &ledger{record: connection.Record{
		Ref: connection.Ref{Tenant: tenant.DefaultID}, Status: connection.Active, UpstreamClient: upstream, SealedRefresh: []byte("r1"),
		SealedAccess: []byte("stored"), AccessExpires: time.Now().Add(life), GoogleScopes: granted, Version: 1,
	}}
}

func (l *ledger) Connection(context.Context, connection.Ref) (*connection.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.record
	return &r, nil
}

func (l *ledger) TakeLease(_ context.Context, _ connection.Ref, version int64, owner uuid.UUID, life time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if version != l.record.Version || l.record.Status != connection.Active || time.Now().Before(l.until) {
		return false, nil
	}
	l.owner, l.until = owner, time.Now().Add(life)
	l.leases++
	return true, nil
}

func (l *ledger) ReleaseLease(_ context.Context, _ connection.Ref, owner uuid.UUID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner == owner {
		l.owner, l.until = uuid.Nil, time.Time{}
	}
	return nil
}

func (l *ledger) change(version int64, owner uuid.UUID, apply func(*connection.Record)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if version != l.record.Version || owner != l.owner {
		return connection.ErrLost
	}
	apply(&l.record)
	l.record.Version++
	l.owner, l.until = uuid.Nil, time.Time{}
	return nil
}

func (l *ledger) PublishRefresh(_ context.Context, r connection.Refreshed) error {
	return l.change(r.Version, r.Owner, func(record *connection.Record) {
		record.SealedAccess, record.AccessExpires = r.SealedAccess, r.AccessExpires
	})
}

func (l *ledger) MarkCredential(_ context.Context, _ connection.Ref, version int64, owner uuid.UUID, status connection.Status, class string) error {
	return l.change(version, owner, func(record *connection.Record) { record.Status, record.LastError = status, class })
}

// line is the way to Google: the real client of it over a transport of the
// test's, in which time is the bubble's.
type line struct {
	mu    sync.Mutex
	calls int
	at    []time.Time
	play  func(n int, r *http.Request) (*http.Response, error)
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.calls++
	n, play := l.calls, l.play
	l.at = append(l.at, time.Now())
	l.mu.Unlock()
	return play(n, r)
}

func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func says(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func token(n int) (*http.Response, error) {
	return says(200, fmt.Sprintf(`{"access_token":"access-%d","expires_in":3600,"scope":%q,"token_type":"Bearer"}`, n, granted))
}

func replicaOn(l *ledger, wire *line) *connection.Credentials {
	client := google.New(google.Config{ClientID: upstream, ClientSecret: secret.NewText("s"), TokenURL: "https://google.test/token", HTTP: &http.Client{Transport: wire, Timeout: google.Timeout}})
	return &connection.Credentials{Store: l, Vault: plain{}, Google: always(client)}
}

func ask(ctx context.Context, c *connection.Credentials, l *ledger, minTTL time.Duration, force bool) (*connection.AccessToken, error) {
	r, err := l.Connection(ctx, connection.Ref{})
	if err != nil {
		return nil, err
	}
	return c.AccessToken(ctx, r, granted, minTTL, force)
}

// TestTenMinutesOfOutage: DESIGN §1.5: while Google answers 503, hangs or resets for ten minutes, at two replicas with
// a caller every second at each, no connection changes state; the living token is served, then "try again" is said; and everything works
// at the first question after.
func TestTenMinutesOfOutage(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(int, *http.Request) (*http.Response, error){
		"503":         func(int, *http.Request) (*http.Response, error) { return says(503, `{"error":"internal_failure"}`) },
		"Retry-After": func(int, *http.Request) (*http.Response, error) { return says(503, ``, "Retry-After", "20") },
		"revoked, says a failing server": func(int, *http.Request) (*http.Response, error) {
			return says(500, `{"error":"invalid_grant"}`)
		},
		"hanging": func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"resetting":      func(int, *http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") },
		"a proxy's page": func(int, *http.Request) (*http.Response, error) { return says(407, `<html>`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, wire, begun := newLedger(5*time.Minute), &line{play: trouble}, time.Now()
				expires := l.record.AccessExpires
				var wg sync.WaitGroup
				served, sorry := 0, 0
				var mu sync.Mutex
				for _, c := range []*connection.Credentials{replicaOn(l, wire), replicaOn(l, wire)} {
					for range 600 {
						wg.Go(func() {
							asked := time.Now()
							got, err := ask(t.Context(), c, l, 2*time.Minute, false)
							mu.Lock()
							defer mu.Unlock()
							switch {
							case err == nil && got.Token.Reveal() == "stored" && asked.Before(expires):
								served++
							case errors.Is(err, connection.ErrTransient) && time.Now().After(expires.Add(-connection.WaitBudget-google.Timeout)):
								sorry++
							default:
								t.Errorf("%v after the beginning: %v", asked.Sub(begun), err)
							}
							if took := time.Since(asked); took > connection.WaitBudget+google.Timeout {
								t.Errorf("a caller waited %v", took)
							}
						})
						time.Sleep(500 * time.Millisecond)
					}
				}
				wg.Wait()
				if took := time.Since(begun); took < 10*time.Minute || served == 0 || sorry == 0 {
					t.Errorf("%v of outage: %d served, %d told to come back", took, served, sorry)
				}
				if r := l.record; r.Status != connection.Active || r.LastError != "" || r.Version != 1 || string(r.SealedRefresh) != "r1" {
					t.Errorf("the outage changed the connection: %s %q", r.Status, r.LastError)
				}
				wire.mu.Lock()
				wire.play = func(n int, _ *http.Request) (*http.Response, error) { return token(n) }
				wire.mu.Unlock()
				time.Sleep(time.Minute) // the longest Retry-After that is believed
				c := replicaOn(l, wire)
				if got, err := ask(t.Context(), c, l, 0, false); err != nil || !strings.HasPrefix(got.Token.Reveal(), "access-") {
					t.Errorf("after the outage: %v", err)
				}
			})
		})
	}
}

// TestInvalidGrantIsNoOutage: the counterpart: one invalid_grant ends the credential's use, and Google is not asked again.
func TestInvalidGrantIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, wire := newLedger(0), &line{play: func(int, *http.Request) (*http.Response, error) { return says(400, `{"error":"invalid_grant"}`) }}
		c := replicaOn(l, wire)
		for range 3 {
			_, err := ask(t.Context(), c, l, 0, false)
			want(t, "revoked at Google", nil, err, "", connection.ErrReauth)
		}
		if r := l.record; r.Status != connection.NeedsReauth || wire.count() != 1 || string(r.SealedRefresh) != "r1" {
			t.Errorf("%s after %d calls", r.Status, wire.count())
		}
	})
}

// TestAttempts: a hiccup of Google's is passed over inside one lease, with growing jittered pauses, at most three attempts and never longer
// than the lease; a hanging attempt leaves time for another.
func TestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, wire := newLedger(0), &line{play: func(n int, _ *http.Request) (*http.Response, error) {
			if n < 3 {
				return says(503, "")
			}
			return token(n)
		}}
		got, err := ask(t.Context(), replicaOn(l, wire), l, 0, false)
		want(t, "two hiccups", got, err, "access-3", nil)
		if first, second := wire.at[1].Sub(wire.at[0]), wire.at[2].Sub(wire.at[1]); l.leases != 1 || first < 100*time.Millisecond || first > 300*time.Millisecond || second < 200*time.Millisecond || second > 600*time.Millisecond {
			t.Errorf("%d leases, pauses %v and %v", l.leases, first, second)
		}

		l, wire = newLedger(0), &line{play: func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return token(n)
		}}
		begun := time.Now()
		got, err = ask(t.Context(), replicaOn(l, wire), l, 0, false)
		want(t, "one attempt hangs", got, err, "access-2", nil)
		if took := time.Since(begun); took >= google.Timeout {
			t.Errorf("took %v", took)
		}

		l, wire = newLedger(0), &line{play: func(int, *http.Request) (*http.Response, error) { return says(503, "") }}
		_, err = ask(t.Context(), replicaOn(l, wire), l, 0, false)
		want(t, "down", nil, err, "", connection.ErrTransient)
		if n := wire.count(); n != connection.Attempts {
			t.Errorf("%d attempts", n)
		}
	})
}

// TestGoogleSaysWhen: Retry-After is waited for inside the lease where it fits, else told to the caller; nobody asks before it, and the living
// token is served meanwhile.
func TestGoogleSaysWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		after := "2"
		l, wire := newLedger(0), &line{}
		wire.play = func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return says(429, "", "Retry-After", after)
			}
			return token(n)
		}
		got, err := ask(t.Context(), replicaOn(l, wire), l, 0, false)
		want(t, "short", got, err, "access-2", nil)
		if pause := wire.at[1].Sub(wire.at[0]); pause < 2*time.Second || pause > 3*time.Second {
			t.Errorf("came back after %v", pause)
		}

		after = "40"
		l.record.AccessExpires, wire.calls = time.Now().Add(10*time.Second), 0
		c := replicaOn(l, wire)
		got, err = ask(t.Context(), c, l, time.Minute, false)
		want(t, "long, token lives", got, err, "access-2", nil)
		for range 3 {
			time.Sleep(10 * time.Second)
			_, err = ask(t.Context(), c, l, 0, false)
			want(t, "long", nil, err, "", connection.ErrTransient)
			if left := connection.RetryAfter(err); left <= 0 || left > 30*time.Second {
				t.Errorf("told to come back after %v", left)
			}
		}
		if n := wire.count(); n != 1 {
			t.Errorf("%d questions while Google wanted none", n)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		got, err = ask(t.Context(), c, l, 0, false)
		want(t, "the time is over", got, err, "access-2", nil)
	})
}

// TestRefreshAhead: a token about to end is replaced beside its callers: however slow Google is nobody waits, Google is asked once, and a
// failing one is asked now and then only.
func TestRefreshAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, wire := newLedger(connection.Ahead+time.Second), &line{play: func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(3 * time.Second)
			return token(n)
		}}
		replicas := []*connection.Credentials{replicaOn(l, wire), replicaOn(l, wire)}
		at := func(what, token string) {
			begun := time.Now()
			for _, c := range replicas {
				for range 20 {
					got, err := ask(t.Context(), c, l, 2*time.Minute, false)
					want(t, what, got, err, token, nil)
				}
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: callers waited %v", what, took)
			}
		}
		at("too early", "stored")
		synctest.Wait()
		if wire.count() != 0 {
			t.Error("asked too early")
		}
		time.Sleep(time.Second)
		at("in time", "stored")
		time.Sleep(4 * time.Second)
		at("afterwards", "access-1")
		if wire.count() != 1 {
			t.Errorf("%d questions", wire.count())
		}

		l, wire = newLedger(5*time.Minute), &line{play: func(int, *http.Request) (*http.Response, error) { return says(503, "") }}
		c := replicaOn(l, wire)
		for range 120 {
			got, err := ask(t.Context(), c, l, 2*time.Minute, false)
			want(t, "Google away", got, err, "stored", nil)
			time.Sleep(time.Second)
		}
		if most := connection.Attempts * int(2*time.Minute/connection.HurryAgain); wire.count() > most || wire.count() < most/2 {
			t.Errorf("a failing Google was asked %d times in two minutes", wire.count())
		}
	})
}

// TestTestingMode: Google's end of a connection is told apart from a revocation, and only Google's word ends it.
func TestTestingMode(t *testing.T) {
	t.Parallel()
	refused := func(int, *http.Request) (*http.Response, error) { return says(400, `{"error":"invalid_grant"}`) }
	for name, row := range map[string]struct {
		ends time.Duration // 0: Google named no end
		play func(int, *http.Request) (*http.Response, error)
		want error
		last string
	}{
		"seven days are over":               {-time.Hour, refused, connection.ErrTestingEnded, connection.TestingEnded},
		"our clock is behind":               {time.Minute, refused, connection.ErrTestingEnded, connection.TestingEnded},
		"revoked on the third day":          {96 * time.Hour, refused, connection.ErrReauth, "invalid_grant"},
		"no end was named":                  {0, refused, connection.ErrReauth, "invalid_grant"},
		"over, but Google says differently": {-time.Hour, func(n int, _ *http.Request) (*http.Response, error) { return token(n) }, nil, ""},
		"over, but Google is away":          {-time.Hour, func(int, *http.Request) (*http.Response, error) { return says(503, "") }, connection.ErrTransient, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLedger(0)
			if row.ends != 0 {
				l.record.RefreshExpires = time.Now().Add(row.ends)
			}
			c := replicaOn(l, &line{play: row.play})
			for range 2 {
				got, err := ask(t.Context(), c, l, 0, false)
				want(t, name, got, err, "access-1", row.want)
			}
			if l.record.LastError != row.last {
				t.Errorf("%s: the row says %q", name, l.record.LastError)
			}
		})
	}
}

// TestForceOnce: a refused token is replaced once however many report it, the shared one and one with less alike: the version moves on, and
// with it the question.
func TestForceOnce(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]oauth.Scopes{"shared": both, "with less": granted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t, time.Hour, both, func(n int, c *call) { c.ok(fmt.Sprintf("access-%d", n), "", c.scopes()) })
			replicas := []*connection.Credentials{f.replica(), f.replica(), f.replica()}
			refused := f.record()
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					got, err := replicas[i%3].AccessToken(context.Background(), refused, allowed, 0, true)
					if err != nil || got.Version <= refused.Version {
						t.Errorf("%v", err)
					}
				})
			}
			wg.Wait()
			most := 1 // the shared one is everybody's; one with less is each replica's
			if name == "with less" {
				most = 3
			}
			if n := f.google.count(); n < 1 || n > most || f.record().Version != refused.Version+1 {
				t.Errorf("%d refreshes, version %d after %d", n, f.record().Version, refused.Version)
			}
		})
	}
}
