package postgres

import (
	"context"
	"fmt"

	"latchkey/authserver/internal/ratelimit"
)

// spend is one decision about each of many buckets: the generic cell rate algorithm
// on PostgreSQL's clock. What was spent counts whatever the bucket says; of what is
// asked for, as many units as fit into its room. In the order of the key, so that
// two statements never wait for each other.
const spend = `INSERT INTO rate_limits AS old (tenant_id, name, key, tat, decided, cost, room, spent, asked, granted)
	SELECT tenant_id, name, key, now + spent + cost * fits, now, cost, room, spent, asked, fits
	FROM (SELECT tenant_id, name, key, cost, room, spent, asked, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
			greatest(0, least(asked, (room - spent) / cost)) AS fits
		FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) AS d (tenant_id, name, key, cost, room, spent, asked)) AS d
	ORDER BY tenant_id, name, key
	ON CONFLICT (tenant_id, name, key) DO UPDATE SET
		tat = greatest(old.tat, excluded.decided) + excluded.spent
			+ excluded.cost * greatest(0, least(excluded.asked, (excluded.decided + excluded.room - greatest(old.tat, excluded.decided) - excluded.spent) / excluded.cost)),
		decided = excluded.decided, cost = excluded.cost, room = excluded.room, spent = excluded.spent, asked = excluded.asked,
		granted = greatest(0, least(excluded.asked, (excluded.decided + excluded.room - greatest(old.tat, excluded.decided) - excluded.spent) / excluded.cost))
	RETURNING tenant_id::text, name, key, tat - decided, granted`

// Spend debits buckets, of whatever tenants, in one statement.
func (db *DB) Spend(ctx context.Context, debits []ratelimit.Debit) ([]ratelimit.Balance, error) {
	n := len(debits)
	tenants, names, keys := make([]string, n), make([]string, n), make([][]byte, n)
	costs, rooms, spent, asked := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	type bucket struct {
		tenant, name string
		key          ratelimit.Key
	}
	place := make(map[bucket]int, n)
	for i, d := range debits {
		tenants[i], names[i], keys[i] = d.Bucket.Tenant.String(), d.Bucket.Limit.String(), d.Bucket.Key[:]
		costs[i], rooms[i], spent[i], asked[i] = d.Interval, d.Room, d.Spent, d.Asked
		place[bucket{tenants[i], names[i], d.Bucket.Key}] = i
	}
	rows, err := db.limits.Query(ctx, spend, tenants, names, keys, costs, rooms, spent, asked)
	if err != nil {
		return nil, fmt.Errorf("deciding about rate limits: %w", err)
	}
	defer rows.Close()
	out, found := make([]ratelimit.Balance, n), 0
	for rows.Next() {
		var b bucket
		var key []byte
		var balance ratelimit.Balance
		if err := rows.Scan(&b.tenant, &b.name, &key, &balance.Ahead, &balance.Granted); err != nil {
			return nil, fmt.Errorf("reading rate limits: %w", err)
		}
		copy(b.key[:], key)
		i, ok := place[b]
		if !ok {
			return nil, fmt.Errorf("deciding about rate limits: answered about another bucket of %s", b.name)
		}
		out[i] = balance
		found++
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("deciding about rate limits: %w", err)
	}
	if found != n {
		return nil, fmt.Errorf("deciding about rate limits: %d answers to %d questions", found, n)
	}
	return out, nil
}
