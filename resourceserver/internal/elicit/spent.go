package elicit

import (
	"sync"
	"time"
)

// maxSpent bounds the confirmations that are remembered, of five minutes.
const maxSpent = 100_000

// spent remembers which confirmations were used until they end by themselves.
type spent struct {
	mu    sync.Mutex
	until map[string]time.Time // at most maxSpent
}

// first reports whether id is used for the first time. When there is no room for
// another id it says no: forgetting one would allow a replay.
func (s *spent) first(id string, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.until[id]; used {
		return false
	}
	if len(s.until) >= maxSpent {
		for k, end := range s.until {
			if !now.Before(end) {
				delete(s.until, k)
			}
		}
		if len(s.until) >= maxSpent {
			return false
		}
	}
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	s.until[id] = until
	return true
}
