package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// Selection says which published rows are to be published again. The zero Selection
// selects all that are retained.
type Selection struct {
	Topics []string  // none: all
	Since  time.Time // created at or after; zero: no bound
	Until  time.Time // created before; zero: no bound
	DryRun bool      // count only
}

// Republish marks retained rows as unpublished, so that the relay sends them again, with
// the ids, bytes and headers they had, and returns how many. It is for a broker that has
// lost its data; consumers absorb what they had already, because the ids are the same.
//
// All rows are marked in one transaction. The relay reads in sequence order, so it sends
// the old events of a key before those that are appended from then on. Marked in parts,
// a new event could come to the empty topic before the old ones. For the same reason a
// lost topic is made again after this and not before: what the relay sends to it in
// between is ahead of what comes again. Running it twice repeats records and nothing
// else.
//
// The transaction holds the marked rows (some 100,000 a second); the relay's own marks
// of the same rows wait for it, and appends do not. Errors: errs.Transient when the
// database is away.
func (o *Outbox) Republish(ctx context.Context, pool *pgxpool.Pool, s Selection) (rows int64, err error) {
	const which = ` published_at IS NOT NULL
		AND (cardinality($1::text[]) = 0 OR topic = ANY ($1))
		AND ($2::timestamptz IS NULL OR created_at >= $2)
		AND ($3::timestamptz IS NULL OR created_at < $3)`
	topics := append([]string{}, s.Topics...) // not nil, which would be NULL
	if s.DryRun {
		err = pool.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE`+which, topics, bound(s.Since), bound(s.Until)).Scan(&rows)
		if err != nil {
			return 0, postgres.Classify(fmt.Errorf("count outbox rows to publish again: %w", err))
		}
		return rows, nil
	}
	tag, err := pool.Exec(ctx, `UPDATE outbox SET published_at = NULL WHERE`+which, topics, bound(s.Since), bound(s.Until))
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("mark outbox rows to publish again: %w", err))
	}
	o.Wake()
	return tag.RowsAffected(), nil
}

// bound makes the zero time no bound.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
