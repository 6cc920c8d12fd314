package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

const (
	// markEvery is how long acknowledged rows gather before they are marked. It trades the cost of
	// one statement per event against the number of duplicates after a crash.
	markEvery = 10 * time.Millisecond
	markBatch = 1000
)

// markRows removes exactly the publications that were acknowledged: a row that was queued again
// since has another number, and its entry stays. It notes the time of those that it removed, so when
// two relays published a row, the first time stays. The lateral subquery looks up each entry by the
// index, whatever the planner knows about the table. Two relays that mark the same entries do not
// deadlock, because a scan by ctid visits them in the table's order.
const markRows = `
WITH gone AS (
	DELETE FROM outbox_queue WHERE ctid = ANY (ARRAY(
		SELECT entry.ctid FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS acked (shard, seq, publication)
		CROSS JOIN LATERAL (
			SELECT q.ctid FROM outbox_queue q
			WHERE q.shard = acked.shard AND q.seq = acked.seq AND q.publication = acked.publication LIMIT 1
		) entry
	)) RETURNING seq
)
INSERT INTO outbox_acknowledgement (seqs) SELECT range_agg(int8range(seq, seq, '[]')) FROM gone HAVING count(*) > 0`

// markLoop marks acknowledged rows until ctx is done. It never drops a row: while the database is
// unavailable they wait in memory, count against MaxInFlight, and so stop the reads.
func (r *Relay) markLoop(ctx context.Context) {
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.flight.toMark:
		}
		sleep(ctx, markEvery)
		for ctx.Err() == nil {
			batch := r.flight.takeAcked(markBatch)
			if len(batch) == 0 {
				break
			}
			r.at(beforeMark)
			err := r.table.mark(ctx, batch)
			if ctx.Err() == nil {
				r.trouble("mark", err)
			}
			if err == nil {
				failures = 0
				r.flight.marked(batch)
				r.bounding.removed.Add(int64(len(batch)))
				continue
			}
			r.flight.unmarked(batch)
			sleep(ctx, min(pause(failures), 5*time.Second))
			failures++
		}
	}
}

// mark removes what was acknowledged from the queue. The commit does not wait for the disk: a lost
// mark causes a duplicate, and the business transactions need the disk more.
func (t *table) mark(ctx context.Context, batch []*record) error {
	shards, seqs, publications := make([]int16, len(batch)), make([]int64, len(batch)), make([]int64, len(batch))
	for i, rec := range batch {
		shards[i], seqs[i], publications[i] = rec.shard, rec.seq, rec.publication
	}
	// One pipeline without BEGIN is one transaction that ends with the last byte sent. A relay that
	// freezes here keeps no locks.
	var b pgx.Batch
	b.Queue(queue.InOrderAsync)
	b.Queue(markRows, shards, seqs, publications)
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if err := t.pool.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("mark %d outbox rows as published: %w", len(batch), postgres.Classify(err))
	}
	return nil
}
