package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Selection says which published rows are to be published again. The zero Selection
// selects all that are retained.
type Selection struct {
	Topics []string  // none: all
	Keys   []string  // none: all
	Since  time.Time // created at or after; zero: no bound

	// Until: created before; zero: no bound. What was created later comes again too for
	// the topics and keys that have a row before it, since otherwise their later events
	// would stay in front of the earlier ones for good.
	Until time.Time

	DryRun   bool             // count only
	Progress func(rows int64) // told how many rows are marked so far, after each batch; nil: nobody
}

const (
	// republishBatch is how many rows a statement looks at: about 0.1 s of work between
	// two reports of progress.
	republishBatch = 10_000
	// republishLease is how long a Republish that died keeps the relays from publishing.
	republishLease = 15 * time.Second
)

// Republish marks retained rows as unpublished, so that the relay sends them again, with
// the ids, bytes and headers they had, and returns how many. It is for a broker that has
// lost its data. Consumers absorb what they had already as long as their inboxes remember
// it: rows older than that (a partition may outlive its time because of one unpublished
// row) would have their effect twice, and Since leaves them out.
//
// Order: the relays of the table are held meanwhile, as by Hold, and the marks of all
// rows become visible in one moment, together with the end of the hold. What is sent from
// then on is in sequence order, also for events appended meanwhile. What was sent to the
// new topic before is ahead of what comes again, and nothing can change that; so let the
// relays send nothing to it before: make the lost topics again after this, or call Hold
// before the empty broker comes up and Release after this.
//
// Running it twice repeats records and nothing else. When it fails or its process dies
// nothing is marked, and the relays go on, within 15 s at the latest. It is one
// transaction for that reason, of about 20 s for each million rows; appends do not wait for
// it, and dropping old partitions does. Services are not ready meanwhile.
//
// Errors: errs.Conflict while another one runs, and in mode debezium, since Debezium would
// go on with later events meanwhile; errs.Transient when the database is away;
// that of ctx when it ends first, also because the relays do not stop.
func (o *Outbox) Republish(ctx context.Context, pool *pgxpool.Pool, s Selection) (rows int64, err error) {
	if s.DryRun {
		if rows, err = s.count(ctx, pool); err != nil {
			return 0, fmt.Errorf("count outbox rows to publish again: %w", err)
		}
		return rows, nil
	}
	owner := uuid.New()
	lasts := republishLease
	renew := func(ctx context.Context) error {
		taken, err := takeHold(ctx, pool, republishHold, owner, "rows are being marked to be published again", &lasts)
		if err == nil && !taken {
			err = errs.New(errs.Conflict, "another republishing of this outbox is running")
		}
		return err
	}
	if err := renew(ctx); err != nil {
		return 0, fmt.Errorf("publish outbox rows again: %w", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stop := keep(ctx, func() {
		if err := renew(ctx); err != nil {
			fail(err)
		}
	})
	err = quiet(ctx, pool)
	if err == nil {
		err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			rows, err = s.mark(ctx, tx)
			if err != nil {
				return err
			}
			stop() // a renewal that comes later would be a new hold
			// Only if the relays were held until now is the order what it should be.
			tag, err := tx.Exec(ctx, `DELETE FROM outbox_hold WHERE name = $1 AND owner = $2 AND expires_at > clock_timestamp()`, republishHold, owner)
			if err == nil && tag.RowsAffected() == 0 {
				err = errs.New(errs.Transient, "the hold on the relays ran out")
			}
			return err
		})
	}
	stop()
	o.Wake()
	if err == nil {
		return rows, nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	// If this fails as well, the hold runs out.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	return 0, postgres.Classify(fmt.Errorf("publish outbox rows again: %w", errors.Join(err, dropHold(last, pool, republishHold, owner))))
}

// keep calls renew three times per lease until ctx or stop ends it; stop waits for a call
// that is under way.
func keep(ctx context.Context, renew func()) (stop func()) {
	turns, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for sleep(turns, republishLease/3); turns.Err() == nil; sleep(turns, republishLease/3) {
			renew()
		}
	}()
	return func() {
		end()
		<-ended
	}
}

// args are those of lanesBefore and of the conditions, $1 to $3.
func (s Selection) args(more ...any) []any {
	keys := make([][]byte, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = []byte(k)
	}
	// Not nil, which would be NULL.
	return append([]any{append([]string{}, s.Topics...), keys, bound(s.Since)}, more...)
}

const (
	chosen = `(cardinality($1::text[]) = 0 OR topic = ANY ($1))
		AND (cardinality($2::bytea[]) = 0 OR key = ANY ($2))
		AND ($3::timestamptz IS NULL OR created_at >= $3)`
	inLane = ` AND EXISTS (SELECT 1 FROM republish_lanes l
			WHERE l.topic = outbox.topic AND l.key = coalesce(outbox.key, '') AND outbox.seq >= l.first)`
	lanesBefore = `INSERT INTO republish_lanes SELECT topic, coalesce(key, ''), min(seq) FROM outbox
		WHERE ` + chosen + ` AND published_at IS NOT NULL AND created_at < $4 GROUP BY 1, 2`
)

// condition is the selection's in SQL. For one with an end it first notes where each
// topic and key begins: from there on all comes again.
func (s Selection) condition(ctx context.Context, tx pgx.Tx) (string, error) {
	if s.Until.IsZero() {
		return chosen, nil
	}
	_, err := tx.Exec(ctx, `CREATE TEMP TABLE republish_lanes (topic text, key bytea, first bigint NOT NULL, PRIMARY KEY (topic, key)) ON COMMIT DROP`)
	if err == nil {
		_, err = tx.Exec(ctx, lanesBefore, s.args(s.Until)...)
	}
	return chosen + inLane, err
}

func (s Selection) count(ctx context.Context, pool *pgxpool.Pool) (rows int64, err error) {
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		condition, err := s.condition(ctx, tx)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE published_at IS NOT NULL AND `+condition, s.args()...).Scan(&rows)
	})
	return rows, err
}

// mark goes through the table by id, batch by batch. Unpublished rows of the selection
// get a new publication as well: a relay that was frozen may believe that the lost broker
// acknowledged them. The bounds make each statement touch its partitions only.
func (s Selection) mark(ctx context.Context, tx pgx.Tx) (rows int64, err error) {
	condition, err := s.condition(ctx, tx)
	if err != nil {
		return 0, err
	}
	condition += ` AND id > $4 AND id <= $5`
	after, done := uuid.Nil, false
	for !done {
		last := uuid.Max
		err := tx.QueryRow(ctx, `SELECT id FROM outbox WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1`, after, republishBatch-1).Scan(&last)
		done = errors.Is(err, pgx.ErrNoRows)
		if err != nil && !done {
			return 0, err
		}
		var n int64
		// Both parts see the rows as they were before.
		err = tx.QueryRow(ctx, `WITH marked AS (UPDATE outbox SET published_at = NULL, publication = publication + 1 WHERE `+condition+`)
			SELECT count(*) FROM outbox WHERE published_at IS NOT NULL AND `+condition, s.args(after, last)...).Scan(&n)
		if err != nil {
			return 0, err
		}
		rows += n
		after = last
		if s.Progress != nil {
			s.Progress(rows)
		}
	}
	return rows, nil
}

// bound makes the zero time no bound.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
