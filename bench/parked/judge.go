package parked

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/bench/infra"
)

// lookEvery is long, because counting costs the database time. The duration of the run is read from
// the rows.
const lookEvery = 50 * time.Millisecond

// await waits until every record is applied, given up, or parked behind a record that was given up.
func (b *Bench) await(ctx context.Context, pool *pgxpool.Pool) error {
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
		if err := infra.Wait(ctx, lookEvery); err != nil {
			return fmt.Errorf("%d of %d records settled: %w", settled, len(b.records), err)
		}
	}
}

// judge counts the outcomes of the records.
func (b *Bench) judge(ctx context.Context, pool *pgxpool.Pool, failures bool) (r Result, err error) {
	r.Records = len(b.records)
	err = pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM parked_records),
		(SELECT count(*) FROM outbox WHERE topic LIKE '%.retry')`).Scan(&r.Applied, &r.Dead, &r.Behind, &r.Retries)
	if err != nil {
		return r, err
	}
	// From the first effect to the last outcome of a record.
	var seconds float64
	err = pool.QueryRow(ctx, `SELECT extract(epoch FROM max(at) - min(at))::float8 FROM (
		SELECT at FROM effects UNION ALL SELECT created_at FROM dead_letters UNION ALL SELECT arrived_at FROM parked_records) AS settled (at)`).Scan(&seconds)
	if err != nil {
		return r, err
	}
	r.Took = time.Duration(seconds * float64(time.Second))
	rows, err := pool.Query(ctx, `SELECT order_id, version FROM effects ORDER BY n`)
	if err != nil {
		return r, err
	}
	last := map[string]int64{}
	var key string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&key, &version}, func() error {
		if version != last[key]+1 {
			r.Disorder++
		}
		last[key] = version
		return nil
	})
	if err != nil {
		return r, err
	}
	// Every record before a key's first record that always fails has to be applied.
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
		r.Lost += int(max(want-last[key], 0))
	}
	r.Lost += max(r.Records-r.Applied-r.Dead-r.Behind, 0)
	return r, r.check()
}
