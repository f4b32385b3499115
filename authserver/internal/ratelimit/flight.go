package ratelimit

import (
	"context"
)

// tell has a bucket told and asked about with the next statement. l.mu must be held.
func (l *Limiter) tell(e *entry) {
	if !e.queued {
		e.queued = true
		l.queue = append(l.queue, e)
	}
	if !l.flight {
		l.flight = true
		go l.fly()
	}
}

// fly sends statements, one at a time, until there is nothing to tell. Whatever
// comes up meanwhile goes together with the next one: under load the statements
// grow and do not become more.
func (l *Limiter) fly() {
	for {
		l.mu.Lock()
		batch := l.queue[:min(len(l.queue), maxFlight)]
		if len(batch) == 0 {
			l.flight = false
			l.queue = nil
			l.mu.Unlock()
			return
		}
		l.queue = l.queue[len(batch):]
		sent := l.micros()
		debits := make([]Debit, len(batch))
		waits := make([][]*waiter, len(batch))
		for i, e := range batch {
			e.settle(sent)
			e.flying, e.owed = e.owed, 0
			waits[i], e.waits, e.queued = e.waits, nil, false
			debits[i] = Debit{Bucket: e.bucket, Interval: e.limit.Interval(), Room: e.limit.Room(), Spent: e.flying, Asked: int64(len(waits[i]))}
		}
		l.mu.Unlock()

		ctx, cancel := context.WithTimeout(context.Background(), l.AskTime)
		balances, err := l.Store.Spend(ctx, debits)
		cancel()

		l.mu.Lock()
		l.landed(err)
		for i, e := range batch {
			if err != nil {
				// Nobody knows whether it was told; here it counts.
				e.known = max(e.known, sent) + e.flying
			} else {
				// Before the statement was sent PostgreSQL's clock showed less than in it, so
				// this is never later than the true time.
				e.known = max(e.known, sent+balances[i].Ahead)
			}
			e.flying = 0
			for n, w := range waits[i] {
				switch {
				case err != nil:
					w.failed = true
				case int64(n) >= balances[i].Granted && w.refused == nil:
					w.refused = e
				}
				if w.missing--; w.missing == 0 {
					close(w.done)
				}
			}
		}
		l.mu.Unlock()
	}
}

// landed notes whether PostgreSQL answers, and says so once. l.mu must be held.
func (l *Limiter) landed(err error) {
	switch {
	case err != nil && !l.failing:
		l.Log.Warn("rate limits are kept by each server alone, and registration is closed: the database does not answer about them", "error", err)
		l.failing, l.retryAt = true, l.micros()+askAgain.Microseconds()
	case err == nil && l.failing:
		l.Log.Info("rate limits are shared again")
		l.failing = false
	}
}
