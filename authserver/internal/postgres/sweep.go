package postgres

import (
	"context"
	"fmt"
)

const sweepBatch = 1000

// swept says which rows of a table have ended. Grants stay for a month after
// their end, so that a late replay is still told from garbage; a code that was
// never redeemed goes after a day. Documents nobody used for 90 days go, and those
// that nobody ever allowed anything after a day, for whoever has a host can publish
// any number: they are fetched again when they are needed.
var swept = []struct{ table, ended string }{
	{"flows", `expires_at < now() - interval '1 hour'`},
	{"assertion_ids", `expires_at < now() - interval '1 hour'`},
	{"pushed_requests", `expires_at < now() - interval '1 hour'`},
	{"links", `expires_at < now() - interval '1 hour'`},
	{"approvals", `expires_at < now()`},                     // at once: each holds a question
	{"sessions", `created_at < now() - interval '31 days'`}, // longer than any SESSION_ABSOLUTE
	{"clients", `expires_at < now() - interval '1 hour'`},
	{"client_documents", `last_used_at < now() - interval '90 days'`},
	{"client_documents", `last_used_at < now() - interval '1 day' AND fetched_at < now() - interval '1 day'
		AND NOT EXISTS (SELECT FROM grants g WHERE g.tenant_id = client_documents.tenant_id AND g.client_id = client_documents.id)`},
	{"rate_limits", `tat < (extract(epoch FROM now()) * 1000000)::bigint`}, // at rest: as good as no row
	{"google_signals", `issued_at < now() - interval '31 days'`},           // signals.MaxAge and a day
	{"grants", `created_at BETWEEN now() - interval '3 days' AND now() - interval '1 day' AND redeemed_at IS NULL AND code_expires_at < now()`},
	{"grants", `expires_at < now() - interval '30 days'`},
	// Resource servers ask for epochs of a day; a job's progress is worth looking at for a month.
	{"revocation_epochs", `closed_at < now() - interval '30 days'`},
	{"jobs", `finished_at < now() - interval '30 days' AND NOT EXISTS (SELECT FROM revocation_epochs e WHERE e.job_id = jobs.id)`},
}

// Sweep deletes what has ended, in batches of 1000 rows, across tenants. It
// returns how many rows went. Replicas may run it at once.
func (db *DB) Sweep(ctx context.Context) (int64, error) {
	var total int64
	for _, s := range swept {
		for {
			tag, err := db.jobs.Exec(ctx, `DELETE FROM `+s.table+` WHERE ctid IN (
				SELECT ctid FROM `+s.table+` WHERE `+s.ended+` LIMIT $1 FOR UPDATE SKIP LOCKED)`, sweepBatch)
			if err != nil {
				return total, fmt.Errorf("sweeping %s: %w", s.table, err)
			}
			total += tag.RowsAffected()
			if tag.RowsAffected() < sweepBatch {
				break
			}
		}
	}
	return total, nil
}
