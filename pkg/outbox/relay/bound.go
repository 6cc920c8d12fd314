package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

const (
	// boundTick is how often the relay takes a step towards a new bound. A step is one or two short
	// statements.
	boundTick = 100 * time.Millisecond
	// boundAfter is how many removed entries make a new bound due at once. A read that visits so
	// many dead ones takes about a millisecond longer.
	boundAfter = 1000
	// boundEvery is when a new bound is due after fewer.
	boundEvery = time.Second
	// boundIdle is when it is due after none. It notices a sequence that was set back.
	boundIdle = 5 * time.Second
)

// bound is where the reads of each shard begin: no entry below it exists, and none will ever appear.
// Entries that were removed stay in the table and its index until no transaction of the database can
// see them. Without the bound, each read would visit all that a reader's old snapshot keeps.
//
// It is computed in three steps, which may take any time:
//
//  1. S is the sequence's last value. Writers are the transactions that may have drawn a number up to
//     S, see package sequence.
//  2. The writers have ended. From now on no new row up to S can appear.
//  3. In a new snapshot, the bound is the least sequence number up to S in the queue, or else S+1.
//
// Republishing puts entries with old numbers into the queue. It changes outbox_mode.requeues in the
// same transaction, and a read uses the bound only if requeues is as it was in step 3. A crash of the
// server brings entries back whose removal had not reached the disk, and numbers of the sequence that
// no committed row had. It empties outbox_incarnation, and a read uses the bound only if that is as
// it was in all steps.
type bound struct {
	mode        capture.Mode // whose entries it is for
	requeues    int64
	incarnation uuid.UUID
	shards      [outbox.Shards]int64
}

// of returns the arguments of a read. For another mode each read begins at the first entry.
func (b bound) of(shards []int16, mode capture.Mode) queue.Bounds {
	from := queue.NoBounds(shards...)
	from.Requeues, from.Incarnation = b.requeues, b.incarnation
	for i, shard := range shards {
		if b.mode == mode {
			from.Least[i] = b.shards[shard]
		}
	}
	return from
}

// bounding is the state of the loop that computes the bound.
type bounding struct {
	removed atomic.Int64 // entries since the last round began
	began   time.Time    // the last round
	round   *queue.Start // in progress, between its first and its last step
}

// boundLoop computes the bound again and again until ctx is done.
func (r *Relay) boundLoop(ctx context.Context) {
	ticker := time.NewTicker(r.boundTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.boundStep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			// The reads continue from the former bound. They fail too, and report it.
			r.metrics.errors.WithLabelValues("bound").Inc()
			r.bounding.round = nil
		}
	}
}

// boundStep begins a round when one is due, and ends it when its writers have ended.
func (r *Relay) boundStep(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	b := &r.bounding
	if b.round == nil {
		removed, since := b.removed.Load(), now.Sub(b.began)
		if removed < r.boundAfter && (removed == 0 || since < boundEvery) && since < boundIdle {
			return nil
		}
		began, err := queue.Begin(ctx, r.table.pool)
		if err != nil {
			if errors.Is(err, queue.ErrCache) {
				r.flight.setBound(bound{}) // nor does the former one hold any more
			}
			return postgres.Classify(err)
		}
		b.removed.Add(-removed)
		b.began, b.round = now, &began
	}
	ended, err := b.round.Writers.Ended(ctx, r.table.pool)
	if err != nil || !ended {
		return postgres.Classify(err)
	}
	found, err := r.table.endRound(ctx, *b.round, r.flight.currentBound())
	if err != nil {
		return err
	}
	b.round = nil
	r.flight.setBound(found)
	return nil
}

const (
	leastEntries = leastFrom + leastTo
	leastRest    = leastFrom + ` AND NOT q.captured` + leastTo

	leastFrom = `
SELECT s.shard, coalesce(first.seq, $5 + 1), (SELECT requeues FROM outbox_mode), ` + queue.Incarnation + `
FROM unnest($1::smallint[], $2::bigint[]) AS s (shard, bound) LEFT JOIN LATERAL (
	SELECT q.seq FROM outbox_queue q
	WHERE q.shard = s.shard AND q.seq >= CASE WHEN ` + queue.Holds + ` THEN s.bound ELSE 0 END AND q.seq <= $5::bigint`
	leastTo = `
	ORDER BY q.seq LIMIT 1
) first ON true`
)

// endRound takes the last step. It searches from the former bound on. After a crash of the server
// since the first step there is no bound.
func (t *table) endRound(ctx context.Context, ending queue.Start, former bound) (found bound, err error) {
	found.mode = *t.mode.Load()
	from := former.of(allShards(), found.mode)
	if ending.Seq+1 < slices.Max(from.Least) {
		clear(from.Least) // the sequence was set back
	}
	query := leastEntries
	if found.mode == capture.Debezium {
		query = leastRest
	}
	var b pgx.Batch
	b.Queue(queue.InOrder)
	b.Queue(query, from.Shards, from.Least, from.Requeues, from.Incarnation, ending.Seq).Query(func(rows pgx.Rows) error {
		var shard int16
		var least int64
		var incarnation *uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&shard, &least, &found.requeues, &incarnation}, func() error {
			found.shards[shard] = least
			if incarnation != nil {
				found.incarnation = *incarnation
			}
			return nil
		})
		return err
	})
	if err := t.pool.SendBatch(ctx, &b).Close(); err != nil {
		return bound{}, fmt.Errorf("compute the outbox's lower bound: %w", postgres.Classify(err))
	}
	if found.incarnation != ending.Incarnation {
		return bound{}, nil
	}
	return found, nil
}

func allShards() []int16 {
	all := make([]int16, outbox.Shards)
	for i := range all {
		all[i] = int16(i)
	}
	return all
}

// setBound makes reads begin at a bound.
func (f *flight) setBound(b bound) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bound = b
}

func (f *flight) currentBound() bound {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bound
}
