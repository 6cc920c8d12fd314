package outbox

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// backlog counts what is unpublished, by topic, and the age of the oldest of it. It finds
// the rows by the partial index.
func backlog(ctx context.Context, pool *pgxpool.Pool) (rows map[string]int64, oldest time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	const q = `SELECT topic, count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8
		FROM outbox WHERE published_at IS NULL GROUP BY topic`
	var topic string
	var n int64
	var seconds float64
	rows = map[string]int64{}
	found, err := pool.Query(ctx, q)
	if err == nil {
		_, err = pgx.ForEachRow(found, []any{&topic, &n, &seconds}, func() error {
			rows[topic] = n
			oldest = max(oldest, time.Duration(seconds*float64(time.Second)))
			return nil
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("measure outbox backlog: %w", postgres.Classify(err))
	}
	return rows, oldest, nil
}

// daysAhead is how many daily partitions exist in advance: Upkeep may fail for
// that long before rows go to the default partition, which works but can not be
// dropped by age.
const daysAhead = 3

// Upkeep creates the partitions of the coming days and drops those whose rows
// are all older than keep and all published. keep (0: postgres.KeepOutbox) bounds how far back published rows can be compared with the
// topics or sent again.
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
			// A row is unpublished for as long as the broker is away. No age makes
			// it droppable.
			dropped, err := postgres.DropPartitions(ctx, pool, "outbox", time.Now().Add(-keep), postgres.GuardNone("published_at IS NULL"))
			if err != nil {
				return dropped, fmt.Errorf("maintain outbox: %w", err)
			}
			return dropped, nil
		},
	}
}
