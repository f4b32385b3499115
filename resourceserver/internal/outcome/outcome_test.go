package outcome_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/exchange"
	"latchkey/resourceserver/internal/outcome"
)

// intake is an authorization server that can be away.
type intake struct {
	mu   sync.Mutex
	away bool
	got  []exchange.Outcome
}

func (i *intake) ReportOutcomes(_ context.Context, list []exchange.Outcome) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(list) == 0 || len(list) > exchange.MaxOutcomes {
		return errors.New("contract: 1 to 100")
	}
	if list[0].Tool == "malformed" {
		return fmt.Errorf("%w: 400", exchange.ErrOutcomesRefused)
	}
	if i.away {
		return errors.New("away")
	}
	i.got = append(i.got, list...)
	return nil
}

func (i *intake) set(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

func (i *intake) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.got)
}

// TestOutcomesWait: an outage loses nothing that fits into memory and keeps the order; beyond that the oldest go and are
// counted.
func TestOutcomesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		sink := &intake{away: true}
		r := outcome.New(sink, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		const extra = 250
		push := func(from, n int) {
			for k := range n {
				r.Push(exchange.Outcome{Tool: "t", DurationMS: int32(from + k)})
			}
		}
		push(0, 500)
		time.Sleep(10*time.Minute + outcome.Every/2) // between two attempts
		push(500, outcome.Capacity-500+extra)
		time.Sleep(2 * outcome.Every)
		if sink.count() != 0 {
			t.Fatal("something got through")
		}
		sink.set(false)
		time.Sleep(2 * outcome.Every)
		if n := sink.count(); n != outcome.Capacity {
			t.Fatalf("%d outcomes arrived", n)
		}
		for k, o := range sink.got {
			if o.DurationMS != int32(k+extra) {
				t.Fatalf("outcome %d is number %d", k, o.DurationMS)
			}
		}
		cancel()
		synctest.Wait()
		if !strings.Contains(log.String(), "count=250") || strings.Count(log.String(), "they wait") != 1 {
			t.Errorf("log: %s", log.String())
		}
		push(0, 3) // what came after Run ended goes with the last Flush
		if err := r.Flush(t.Context()); err != nil || sink.count() != outcome.Capacity+3 {
			t.Error(err, sink.count())
		}
	})
}

// TestRefusedReportIsNotRepeated: a report that the server will never take does not hold up those after it.
func TestRefusedReportIsNotRepeated(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	sink := &intake{}
	r := outcome.New(sink, slog.New(slog.NewTextHandler(&log, nil)))
	for range exchange.MaxOutcomes {
		r.Push(exchange.Outcome{Tool: "malformed"})
	}
	r.Push(exchange.Outcome{Tool: "t"})
	if err := r.Flush(t.Context()); err != nil || sink.count() != 1 || !strings.Contains(log.String(), "count=100") {
		t.Error(err, sink.count(), log.String())
	}
}

// TestNobodyIsNoOutcome: without a principal nothing is reported.
func TestNobodyIsNoOutcome(t *testing.T) {
	t.Parallel()
	sink := &intake{}
	r := outcome.New(sink, nil)
	r.Record(t.Context(), "t", "ok", time.Second)
	if err := r.Flush(t.Context()); err != nil || sink.count() != 0 {
		t.Error(err, sink.count())
	}
}
