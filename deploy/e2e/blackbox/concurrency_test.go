package blackbox_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/deploy/dev/smoke"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}

// atOnce sends one form n times at the same moment.
func atOnce(t *testing.T, c *smoke.Client, n int, form url.Values) []*smoke.TokenAnswer {
	t.Helper()
	answers, errs := make([]*smoke.TokenAnswer, n), make([]error, n)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-gate
			answers[i], errs[i] = c.Token(t.Context(), "at once", form)
		})
	}
	close(gate)
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	return answers
}

// TestOneRedemptionWins: DESIGN §1.4: of 16 at once exactly one, in each of 40
// rounds; and the winner's tokens live on, because a client that repeats itself
// is no thief. Only one that does so two seconds later is taken for one (RFC 6749
// §4.1.2), which the last of the 16 may be where the machine is busy.
func TestOneRedemptionWins(t *testing.T) {
	t.Parallel()
	const rounds, parallel, late = 40, 16, 2 * time.Second
	inTime := 0
	s := running(t)
	c, err := smoke.New(smoke.Config{MCPURL: s.MCPURL}) // silent: 640 requests
	must(t, err)
	must(t, c.Discover(t.Context()))
	must(t, c.Register(t.Context()))
	for round := range rounds {
		must(t, c.Authorize(t.Context()))
		won, begun := 0, time.Now()
		answers := atOnce(t, c, parallel, c.RedeemForm())
		together := time.Since(begun) < late
		for _, a := range answers {
			switch {
			case a.Status == http.StatusOK:
				won++
				c.Use(a)
			case a.Status != http.StatusBadRequest || a.Error != "invalid_grant":
				t.Errorf("round %d: a loser was told %d %s", round, a.Status, a.Error)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d redemptions of one code succeeded", round, won)
		}
		if err := c.Refresh(t.Context()); err != nil && (together || !strings.Contains(err.Error(), "invalid_grant")) {
			t.Fatalf("round %d: the winner's refresh token: %v", round, err)
		}
		if together {
			inTime++
		}
	}
	if inTime == 0 {
		t.Errorf("no round took less than %v: nothing is known of the winners", late)
	}
}

// TestParallelRefreshesAgree: DESIGN §4: 8 at once are answered with the same
// successor, and it works.
func TestParallelRefreshesAgree(t *testing.T) {
	t.Parallel()
	const rounds, parallel = 10, 8
	s := running(t)
	c := signedIn(t, s)
	for round := range rounds {
		var successor string
		answers := atOnce(t, c, parallel, c.RefreshForm())
		for _, a := range answers {
			if a.Status != http.StatusOK {
				t.Fatalf("round %d: %d %s (%s)", round, a.Status, a.Error, a.Description)
			}
			if successor == "" {
				successor = a.RefreshToken
			}
			if a.RefreshToken != successor || a.RefreshToken == "" {
				t.Fatalf("round %d: two successors", round)
			}
		}
		c.Use(answers[round%parallel])
	}
	must(t, c.Refresh(t.Context()))
	works(t, c)
}
