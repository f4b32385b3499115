package outcome

import "latchkey/pkg/exchange"

// Push is Record without a principal.
func (r *Reporter) Push(one exchange.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.push(one)
}
