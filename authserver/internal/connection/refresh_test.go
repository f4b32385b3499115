package connection_test

import (
	"testing"

	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/google"
)

// TestTimesOfARefresh: HTTP timeout < lease <= wait budget. A live holder never outlives its lease, and a dead one is replaced before a waiter gives up.
func TestTimesOfARefresh(t *testing.T) {
	t.Parallel()
	if google.Timeout >= connection.Lease || connection.Lease > connection.WaitBudget {
		t.Errorf("timeout %v, lease %v, budget %v", google.Timeout, connection.Lease, connection.WaitBudget)
	}
}
