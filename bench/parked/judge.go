package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lookEvery is coarse, because counting takes the database's time; how long the run took
// is read from the rows.
const lookEvery = 50 * time.Millisecond

// await waits until every record is applied, given up or parked behind one that is.
func (b *bench) await(ctx context.Context, pool *pgxpool.Pool) error {
	const q = `SELECT (SELECT count(*) FROM effects) + (SELECT count(*) FROM dead_letters) + (SELECT count(*) FROM parked_records),
		(SELECT count(*) FROM parked_keys WHERE state = 'retrying')`
	for {
		var settled, retrying int
		if err := pool.QueryRow(ctx, q).Scan(&settled, &retrying); err != nil {
			return err
		}
		if settled == len(b.records) && retrying == 0 {
			return nil
		}
		if err := wait(ctx, lookEvery); err != nil {
			return fmt.Errorf("%d of %d records settled: %w", settled, len(b.records), err)
		}
	}
}

// judge counts what became of the records.
func (b *bench) judge(ctx context.Context, pool *pgxpool.Pool, failures bool) (r result, err error) {
	r.records = len(b.records)
	err = pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM parked_records),
		(SELECT count(*) FROM outbox WHERE topic LIKE '%.retry')`).Scan(&r.applied, &r.dead, &r.behind, &r.retries)
	if err != nil {
		return r, err
	}
	// From the first effect to the last thing that became of a record.
	var seconds float64
	err = pool.QueryRow(ctx, `SELECT extract(epoch FROM max(at) - min(at))::float8 FROM (
		SELECT at FROM effects UNION ALL SELECT created_at FROM dead_letters UNION ALL SELECT arrived_at FROM parked_records) AS settled (at)`).Scan(&seconds)
	if err != nil {
		return r, err
	}
	r.took = time.Duration(seconds * float64(time.Second))
	rows, err := pool.Query(ctx, `SELECT order_id, version FROM effects ORDER BY n`)
	if err != nil {
		return r, err
	}
	last := map[string]int64{}
	var key string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&key, &version}, func() error {
		if version != last[key]+1 {
			r.disorder++
		}
		last[key] = version
		return nil
	})
	if err != nil {
		return r, err
	}
	// What has to be applied: everything before a key's first record that always fails.
	each := map[string]int64{}
	for i := range b.records {
		each[string(b.records[i].Key)]++
	}
	for key, n := range each {
		want := n
		for v := int64(1); failures && v <= n; v++ {
			if b.fate[name(key, v)] == always {
				want = v - 1
				break
			}
		}
		r.lost += int(max(want-last[key], 0))
	}
	r.lost += max(r.records-r.applied-r.dead-r.behind, 0)
	return r, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
