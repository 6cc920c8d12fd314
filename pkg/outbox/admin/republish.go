package admin

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

// Selection selects published rows to publish again. The zero Selection selects all retained rows.
type Selection struct {
	Topics []string  // none: all
	Keys   []string  // none: all
	Since  time.Time // created at or after; zero: no bound

	// Until selects rows created before it; zero: no bound. For the topics and keys that have such
	// a row, later rows are published again too. Otherwise their later events would stay ahead of
	// the earlier ones in the topic for good.
	Until time.Time

	DryRun   bool             // count only
	Progress func(rows int64) // called after each batch with the rows marked so far; may be nil
}

const (
	// republishBatch is how many rows a statement looks at: about 0.1 s of work between two reports
	// of progress.
	republishBatch = 10_000
	// republishLease is how long a Republish that died stops the relays. It covers three renewals,
	// so that one lost renewal has no effect.
	republishLease = 15 * time.Second
	// cleanupTimeout bounds the statement that ends the hold of a Republish that failed.
	cleanupTimeout = 15 * time.Second
)

// Republish puts retained rows into the queue again, so that the relay sends them with their former
// ids, bytes and headers. It returns their number. It is for a broker that lost its data.
// Consumers recognise the events that they had already for as long as their inboxes remember them.
// Older rows exist, because a partition may outlive its time when it has one unpublished row. They
// would take effect twice; Since excludes them.
//
// Order: the relays of the table are stopped meanwhile, as by [Admin.Hold]. All entries become
// visible in one moment, together with the end of that hold. From then on the relays send in
// sequence order, including events appended meanwhile. Records that the new topic had before stay
// ahead of the republished ones, and nothing can change that. So the relays must send nothing to
// the new topic before. Either create the lost topics after Republish, or call Hold before the
// empty broker starts and Release after Republish.
//
// Running it twice repeats records and has no other effect. When it fails or its process dies, no
// row is marked, and the relays continue within 15 s at the latest. It is one transaction for that
// reason, and takes about 20 s per million rows. Appends do not wait for it; dropping old
// partitions does. Services are not ready meanwhile.
//
// Errors: [errs.Conflict] while another Republish runs, and in mode debezium, because Debezium
// would continue with later events meanwhile; [errs.Transient] when the database is unavailable;
// the error of ctx when ctx ends first, including while waiting for the relays to stop.
func (a Admin) Republish(ctx context.Context, s Selection) (rows int64, err error) {
	pool := a.Pool
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
	err = awaitStopped(ctx, pool)
	if err == nil {
		err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			rows, err = s.queue(ctx, tx)
			if err != nil {
				return err
			}
			stop() // a later renewal would be a new hold
			// The order is right only if the relays were on hold until this moment.
			tag, err := tx.Exec(ctx, `DELETE FROM outbox_hold WHERE name = $1 AND owner = $2 AND expires_at > clock_timestamp()`, republishHold, owner)
			if err == nil && tag.RowsAffected() == 0 {
				err = errs.New(errs.Transient, "the hold on the relays ran out")
			}
			return err
		})
	}
	stop()
	a.wake()
	if err == nil {
		return rows, nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	// If this fails as well, the hold expires.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	return 0, postgres.Classify(fmt.Errorf("publish outbox rows again: %w", errors.Join(err, dropHold(last, pool, republishHold, owner))))
}

// keep calls renew three times per lease until ctx or stop ends it. stop waits for a call in
// progress.
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

// args returns the arguments $1 to $3 of firstOfKeys and of the conditions.
func (s Selection) args(more ...any) []any {
	keys := make([][]byte, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = []byte(k)
	}
	// Not nil: nil would be NULL.
	return append([]any{append([]string{}, s.Topics...), keys, bound(s.Since)}, more...)
}

const (
	chosen = `(cardinality($1::text[]) = 0 OR topic = ANY ($1))
		AND (cardinality($2::bytea[]) = 0 OR key = ANY ($2))
		AND ($3::timestamptz IS NULL OR created_at >= $3)`
	fromFirst = ` AND EXISTS (SELECT 1 FROM republish_keys l
			WHERE l.topic = outbox.topic AND l.key = coalesce(outbox.key, '') AND outbox.seq >= l.first)`
	published   = ` AND NOT EXISTS (SELECT FROM outbox_queue q WHERE q.shard = outbox.shard AND q.seq = outbox.seq)`
	firstOfKeys = `INSERT INTO republish_keys SELECT topic, coalesce(key, ''), min(seq) FROM outbox
		WHERE ` + chosen + ` AND created_at < $4` + published + ` GROUP BY 1, 2`
)

// condition returns the selection in SQL. For a selection with an end it first records where each
// topic and key begins: all rows from there on are published again.
func (s Selection) condition(ctx context.Context, tx pgx.Tx) (string, error) {
	if s.Until.IsZero() {
		return chosen, nil
	}
	_, err := tx.Exec(ctx, `CREATE TEMP TABLE republish_keys (topic text, key bytea, first bigint NOT NULL, PRIMARY KEY (topic, key)) ON COMMIT DROP`)
	if err == nil {
		_, err = tx.Exec(ctx, firstOfKeys, s.args(s.Until)...)
	}
	return chosen + fromFirst, err
}

func (s Selection) count(ctx context.Context, pool *pgxpool.Pool) (rows int64, err error) {
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		condition, err := s.condition(ctx, tx)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE `+condition+published, s.args()...).Scan(&rows)
	})
	return rows, err
}

// queue puts the rows into the queue by id, batch by batch. Unpublished rows of the selection get new
// entries as well, because a frozen relay may have the lost broker's acknowledgement of their former
// ones. The order of publishing is that of the rows' sequence numbers, so events that wait or are
// appended meanwhile stay behind the earlier ones of their keys. The bounds on id restrict each
// statement to its partitions.
func (s Selection) queue(ctx context.Context, tx pgx.Tx) (rows int64, err error) {
	condition, err := s.condition(ctx, tx)
	if err != nil {
		return 0, err
	}
	condition += ` AND id > $4 AND id <= $5`
	// One Republish runs at a time, and the number becomes visible with the entries: from then on
	// no relay reads from a bound that it computed before.
	var publication int64
	if err := tx.QueryRow(ctx, `SELECT requeues + 1 FROM outbox_mode`).Scan(&publication); err != nil {
		return 0, err
	}
	after, done := uuid.Nil, false
	for !done {
		last := uuid.Max
		err := tx.QueryRow(ctx, `SELECT id FROM outbox WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1`, after, republishBatch-1).Scan(&last)
		done = errors.Is(err, pgx.ErrNoRows)
		if err != nil && !done {
			return 0, err
		}
		n, err := requeue(ctx, tx, condition, publication, s.args(after, last))
		if err != nil {
			return 0, err
		}
		rows += n
		after = last
		if s.Progress != nil {
			s.Progress(rows)
		}
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_mode SET requeues = $1`, publication)
	return rows, err
}

// requeue returns how many of the rows had no entry. An entry that appears between the two statements
// is that of a row appended meanwhile. No relay has read it, so it stays.
func requeue(ctx context.Context, tx pgx.Tx, condition string, publication int64, args []any) (n int64, err error) {
	// The count sees the rows as they were before the statement.
	err = tx.QueryRow(ctx, `WITH gone AS (
			DELETE FROM outbox_queue q USING (SELECT shard, seq FROM outbox WHERE `+condition+`) o WHERE q.shard = o.shard AND q.seq = o.seq
		) SELECT count(*) FROM outbox WHERE `+condition+published, args...).Scan(&n)
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO outbox_queue (seq, publication, id, shard, raw, captured)
			SELECT seq, $6, id, shard, ce_specversion IS NULL, false FROM outbox WHERE `+condition+`
			ON CONFLICT DO NOTHING`, append(args, publication)...)
	}
	return n, err
}

// bound returns nil for the zero time, which means no bound.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
