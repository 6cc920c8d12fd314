package outbox

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// daysAhead is how many daily partitions exist in advance. If Upkeep fails for longer than that,
// rows go to the default partition, which works but cannot be dropped by age.
const daysAhead = 3

const (
	// queued keeps a day's partition while the queue has an entry of it. A row stays unpublished for
	// as long as the broker is unavailable, and no age makes it droppable.
	queued = `id IN (SELECT q.id FROM public.outbox_queue q)`
	// queuedBefore is queued for a check under the lock of the drop. It omits the entries of newer
	// rows, which may be millions.
	queuedBefore = `id IN (SELECT q.id FROM public.outbox_queue q WHERE q.id < public.day_partition_bound(($1 AT TIME ZONE 'UTC')::date + 1))`
)

// Upkeep creates the partitions of the coming days, and drops those whose rows are all older than
// keep and all published. keep bounds how far back published rows can be compared with the topics
// or sent again, and how long their times of publication stay; 0 means [postgres.KeepOutbox].
func (o *Outbox) Upkeep(pool *pgxpool.Pool, keep time.Duration) postgres.Upkeep {
	keep = cmp.Or(keep, postgres.KeepOutbox)
	return postgres.Upkeep{
		Table: "outbox",
		Prepare: func(ctx context.Context) error {
			now := time.Now()
			if err := postgres.EnsurePartitions(ctx, pool, "outbox", now, now.AddDate(0, 0, daysAhead)); err != nil {
				return fmt.Errorf("maintain outbox: %w", err)
			}
			return nil
		},
		Prune: func(ctx context.Context) ([]string, error) {
			dropped, err := postgres.DropPartitions(ctx, pool, "outbox", time.Now().Add(-keep), postgres.GuardNone(queued))
			if err == nil {
				err = pruneAcknowledgements(ctx, pool, keep)
			}
			if err != nil {
				return dropped, fmt.Errorf("maintain outbox: %w", err)
			}
			return dropped, nil
		},
	}
}

// pruneAcknowledgements deletes the times of publication from before keep, and from a day before
// the oldest row if that is earlier. A row is published after it was written. The day is for
// partitions, which end with their day, and for clocks that differ.
func pruneAcknowledgements(ctx context.Context, pool *pgxpool.Pool, keep time.Duration) error {
	_, err := pool.Exec(ctx, `DELETE FROM outbox_acknowledgement
		WHERE published_at < least((SELECT created_at FROM outbox ORDER BY id LIMIT 1), clock_timestamp() - $1::interval) - interval '1 day'`, keep)
	if err != nil {
		return fmt.Errorf("prune the times of publication: %w", postgres.Classify(err))
	}
	return nil
}
