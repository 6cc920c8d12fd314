package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// counted is how many entries of each shard are counted. Up to there the figures are exact.
	// Their rows are read for the topics, which takes the database about 10 ms in all.
	counted = 1000
	// sampledPages is how many pages of a larger queue are counted instead: 8 MiB.
	sampledPages = 1000
)

// Backlog is what is not published.
type Backlog struct {
	Rows      int64
	Topics    map[string]int64 // rows by topic
	Estimated bool             // from a sample
	Oldest    time.Duration    // age of the oldest; 0 when there is none
}

const (
	firstEntries = `
SELECT o.topic, count(*), extract(epoch FROM clock_timestamp() - min(o.created_at))::float8, max(q.nth)
FROM unnest($1::smallint[], $2::bigint[]) AS s (shard, bound) CROSS JOIN LATERAL (
	SELECT id, row_number() OVER () AS nth FROM (
		SELECT id FROM outbox_queue q
		WHERE q.shard = s.shard AND q.seq >= CASE WHEN ` + Holds + ` THEN s.bound ELSE 0 END
		ORDER BY q.seq LIMIT $5
	) e
) q JOIN outbox o ON o.id = q.id
GROUP BY o.topic`

	sampleEntries = `
SELECT coalesce(round(count(*) / $1::float8), 0)::bigint FROM outbox_queue TABLESAMPLE SYSTEM (100 * $1::float8)`

	queuePages = `SELECT pg_relation_size('outbox_queue') / current_setting('block_size')::bigint`
)

// batcher sends a pipeline: a pool, a connection or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// ReadBacklog reads the figures, from the bounds on. Its cost does not grow with the backlog. In a
// transaction, [InOrder] stays in force after it.
func ReadBacklog(ctx context.Context, q batcher, from Bounds) (Backlog, error) {
	backlog := Backlog{Topics: map[string]int64{}}
	var pages, longest int64
	var b pgx.Batch
	b.Queue(InOrder)
	b.Queue(queuePages).QueryRow(func(row pgx.Row) error { return row.Scan(&pages) })
	b.Queue(firstEntries, from.Shards, from.Least, from.Requeues, from.Incarnation, counted).Query(func(rows pgx.Rows) error {
		var topic string
		var n, nth int64
		var seconds float64
		_, err := pgx.ForEachRow(rows, []any{&topic, &n, &seconds, &nth}, func() error {
			backlog.Topics[topic] = n
			backlog.Rows += n
			backlog.Oldest = max(backlog.Oldest, time.Duration(seconds*float64(time.Second)))
			longest = max(longest, nth)
			return nil
		})
		return err
	})
	if err := q.SendBatch(ctx, &b).Close(); err != nil {
		return Backlog{}, fmt.Errorf("read the outbox's queue: %w", err)
	}
	if longest < counted {
		return backlog, nil
	}
	var all int64
	var more pgx.Batch
	more.Queue(sampleEntries, min(1, sampledPages/float64(max(pages, 1)))).QueryRow(func(row pgx.Row) error { return row.Scan(&all) })
	if err := q.SendBatch(ctx, &more).Close(); err != nil {
		return Backlog{}, fmt.Errorf("sample the outbox's queue: %w", err)
	}
	backlog.scale(all)
	return backlog, nil
}

// scale makes the figures those of a queue with so many rows, with the topics in the same shares.
func (b *Backlog) scale(all int64) {
	all = max(all, b.Rows)
	for topic, n := range b.Topics {
		b.Topics[topic] = int64(float64(n) / float64(b.Rows) * float64(all))
	}
	b.Rows, b.Estimated = all, true
}
