package postgres

import (
	"context"
	"fmt"
)

const sweepBatch = 1000

// Sweep deletes what has expired for an hour, in batches of 1000 rows, across
// tenants. It returns how many rows went. Replicas may run it at once.
func (db *DB) Sweep(ctx context.Context) (int64, error) {
	var total int64
	for _, table := range []string{"flows", "assertion_ids"} {
		for {
			tag, err := db.jobs.Exec(ctx, `DELETE FROM `+table+` WHERE ctid IN (
				SELECT ctid FROM `+table+` WHERE expires_at < now() - interval '1 hour' LIMIT $1 FOR UPDATE SKIP LOCKED)`, sweepBatch)
			if err != nil {
				return total, fmt.Errorf("sweeping %s: %w", table, err)
			}
			total += tag.RowsAffected()
			if tag.RowsAffected() < sweepBatch {
				break
			}
		}
	}
	return total, nil
}
