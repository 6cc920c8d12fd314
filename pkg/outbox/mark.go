package outbox

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

const (
	// markEvery is how long acknowledged rows gather before they are marked.
	// It trades the cost of one UPDATE per event against the number of
	// duplicates after a crash.
	markEvery = 10 * time.Millisecond
	markBatch = 1000
)

// markRows bounds the ids in addition to listing them: Postgres prunes partitions
// by a range of parameters when a prepared plan starts, but not by an array. The
// first mark stays when two relays published a row; coalesce says that in words
// that do not match the partial index of unpublished rows, which the planner
// would otherwise like to scan whole while it has no statistics.
const markRows = `
UPDATE outbox SET published_at = clock_timestamp()
WHERE id = ANY ($1) AND id BETWEEN $2 AND $3 AND publication = $4 AND coalesce(published_at, '-infinity') = '-infinity'`

// markLoop marks acknowledged rows until ctx is done. It never gives up a row:
// while the database is away they wait in memory, count against MaxInFlight, and
// so stop the reads.
func (r *Relay) markLoop(ctx context.Context) {
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.flight.ackSignal:
		}
		sleep(ctx, markEvery)
		for ctx.Err() == nil {
			batch := r.flight.takeAcked(markBatch)
			if len(batch) == 0 {
				break
			}
			r.at(beforeMark)
			err := r.mark(ctx, batch)
			if ctx.Err() == nil {
				r.trouble("mark", err)
			}
			if err == nil {
				failures = 0
				r.flight.marked(batch)
				continue
			}
			r.flight.unmarked(batch)
			sleep(ctx, min(pause(failures), 5*time.Second))
			failures++
		}
	}
}

// mark sets published_at. The commit does not wait for the disk: a lost mark is a
// duplicate, and the business transactions need the disk more.
func (r *Relay) mark(ctx context.Context, batch []*record) error {
	// Nearly always one publication and one statement.
	byPublication := map[int32][]uuid.UUID{}
	for _, rec := range batch {
		byPublication[rec.publication] = append(byPublication[rec.publication], rec.id)
	}
	// One pipeline without BEGIN is one transaction that ends with the last
	// byte we send: a relay that is frozen here holds no locks.
	var b pgx.Batch
	b.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	// Sorted, so that two relays which mark the same rows wait for each other
	// instead of deadlocking.
	for _, publication := range slices.Sorted(maps.Keys(byPublication)) {
		ids := byPublication[publication]
		slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		b.Queue(markRows, ids, ids[0], ids[len(ids)-1], publication)
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if err := r.pool.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("mark %d outbox rows as published: %w", len(batch), postgres.Classify(err))
	}
	return nil
}
