package googleapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/resourceserver/internal/tool"
)

// How much of Google's answers is held at once, in bytes: of the calls of all, and of
// those of one person. What is made of an answer takes a few times as much.
const (
	maxHeld       = 192 << 20
	maxPersonHeld = 48 << 20
	// unheld of each answer is not counted: most are smaller.
	unheld = 256 << 10
	// heldStep is what is counted at once.
	heldStep = 64 << 10
)

// held bounds the memory that calls take: each may read an answer of MaxResponse, and
// one person may have a hundred running. The zero value is empty. Safe for concurrent
// use.
type held struct {
	mu     sync.Mutex
	all    int64
	people map[person]int64
}

type person struct{ tenant, subject string }

// share is what the sessions of one call hold, until the call ends.
type share struct {
	of   *held
	who  person
	mine int64 // of.mu holds for it
	over bool
}

// share begins one, for the call of ctx.
func (h *held) share(ctx context.Context, who person) *share {
	s := &share{of: h, who: who}
	context.AfterFunc(ctx, s.release)
	return s
}

func (s *share) release() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.over = true; s.mine == 0 {
		return
	}
	s.of.all -= s.mine
	if s.of.people[s.who] -= s.mine; s.of.people[s.who] <= 0 {
		delete(s.of.people, s.who)
	}
}

// take adds n bytes, if there is room for them. Errors are *tool.Error.
func (s *share) take(n int64) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	switch {
	case s.over: // whoever reads on is at its end
		return nil
	case s.of.people[s.who]+n > maxPersonHeld:
		return full("Too many of your calls with large answers are running.")
	case s.of.all+n > maxHeld:
		return full("Too much is being read at this moment.")
	}
	if s.of.people == nil {
		s.of.people = map[person]int64{}
	}
	s.mine += n
	s.of.all += n
	s.of.people[s.who] += n
	return nil
}

func full(message string) *tool.Error {
	return &tool.Error{Code: tool.CodeUnavailable, Message: message, Retryable: true, RetryAfter: 5 * time.Second,
		NextAction: "Call again shortly: one after another, or asking for less at once.", Cause: errors.New("answers of Google fill the memory that they may have")}
}
