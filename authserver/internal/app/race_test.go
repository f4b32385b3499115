package app_test

import (
	"context"
	"flag"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"latchkey/authserver/internal/authtest"
)

// races is how many rounds the races of two replicas take.
var races = flag.Int("races", 20, "rounds of each race between two replicas")

// at runs 16 calls at once, alternating between the replicas.
func at(urls []string, call func(i int, base string)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 16 {
		wg.Go(func() {
			<-start
			call(i, urls[i%len(urls)])
		})
	}
	close(start)
	wg.Wait()
}

// TestReplicaRaces: A1, A2 over two replicas: of 16 parallel redemptions of a code one wins; 16 parallel refreshes agree on
// one successor; of 16 browsers one gets a pushed request.
func TestReplicaRaces(t *testing.T) {
	t.Parallel()
	t.Run("A1 A2 AS-A21 over two replicas one redemption wins and refreshes agree", replicaRaces)
}

func replicaRaces(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	urls := []string{s.URL, s.Replica(t).URL}
	v := s.NewVisit(t)
	for round := range *races {
		q, p := s.Walk(t, v)
		if q == nil || q.Get("code") == "" {
			t.Fatalf("round %d: %v %d %s", round, q, p.Status, p.Body)
		}
		var mu sync.Mutex
		var winners []map[string]any
		at(urls, func(_ int, base string) {
			status, _, out := post(t, base+"/token", v.Redeem(q.Get("code")), "", "")
			switch {
			case status == http.StatusOK:
				mu.Lock()
				winners = append(winners, out)
				mu.Unlock()
			case status != http.StatusBadRequest || out["error"] != "invalid_grant":
				t.Errorf("redemption: %d %v", status, out)
			}
		})
		if len(winners) != 1 {
			t.Fatalf("%d redemptions succeeded", len(winners))
		}
		token := winners[0]["refresh_token"].(string)
		successors := map[any]int{}
		at(urls, func(_ int, base string) {
			status, _, out := post(t, base+"/token", v.Refresh(token), "", "")
			if status != http.StatusOK {
				t.Errorf("refresh: %d %v", status, out)
				return
			}
			mu.Lock()
			successors[out["refresh_token"]]++
			mu.Unlock()
		})
		if len(successors) != 1 || successors[token] != 0 {
			t.Fatalf("%d successors", len(successors))
		}
		for successor := range successors {
			if status, _, out := post(t, s.URL+"/token", v.Refresh(successor.(string)), "", ""); status != http.StatusOK {
				t.Fatalf("the successor is dead: %d %v", status, out)
			}
		}
	}
	// The code was redeemed once, the 16 refreshes moved the generation on once, the successor's once more.
	if n := rowsOf(t, s.DSN, `SELECT count(*) FROM grants WHERE generation <> 3 OR revoked_at IS NOT NULL`); n != 0 {
		t.Errorf("%d grants were rotated more than once by a race, or ended by one", n)
	}
	t.Logf("%d rounds of 16 redemptions and 16 refreshes over two replicas: one winner each", *races)
}

// TestPushedRequestRace: RFC 9126 §4 over two replicas: of 16 browsers one gets a pushed request.
func TestPushedRequestRace(t *testing.T) {
	t.Parallel()
	s := authtest.Start(t)
	urls := []string{s.URL, s.Replica(t).URL}
	v := s.NewVisit(t)
	for range *races {
		status, _, out := post(t, urls[1]+"/par", v.Query, "", "")
		if status != http.StatusCreated {
			t.Fatal(status, out)
		}
		link := "/authorize?" + url.Values{"client_id": {v.Client}, "request_uri": {out["request_uri"].(string)}}.Encode()
		var mu sync.Mutex
		seen := map[int]int{}
		at(urls, func(_ int, base string) {
			p, err := authtest.Browser().Get(context.Background(), base+link)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			seen[p.Status]++
			mu.Unlock()
		})
		if seen[http.StatusOK] != 1 || seen[http.StatusBadRequest] != 15 {
			t.Fatalf("answers: %v", seen)
		}
	}
	t.Logf("%d rounds of 16 browsers over two replicas: one winner each", *races)
}
