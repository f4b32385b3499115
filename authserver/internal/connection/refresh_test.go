package connection_test

import (
	"testing"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/google"
)

// TestTimesOfARefresh: one attempt < HTTP timeout < lease <= wait budget. A live holder never outlives its lease, and a dead one is replaced before a waiter gives up.
func TestTimesOfARefresh(t *testing.T) {
	t.Parallel()
	if connection.AttemptTimeout >= google.Timeout || google.Timeout >= connection.Lease || connection.Lease > connection.WaitBudget {
		t.Errorf("attempt %v, timeout %v, lease %v, budget %v", connection.AttemptTimeout, google.Timeout, connection.Lease, connection.WaitBudget)
	}
}
