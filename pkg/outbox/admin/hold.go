package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/postgres"
)

// The names of holds. Two holds at once are two reasons, and each ends separately.
const (
	operatorHold  = "operator"
	republishHold = "republish"
)

// stoppedPoll is how often Hold checks whether the relays have stopped, which takes them about a
// second.
const stoppedPoll = 50 * time.Millisecond

// Hold stops all relays of the table until [Admin.Release]. It returns when they have stopped: no
// record is at a producer, and every acknowledged row is marked. Appends continue and wait in the
// table. Relays on hold are not ready and report the reason. When the outbox is on hold already,
// Hold replaces the reason.
//
// When the broker does not acknowledge a record within the relay's DrainTimeout, the relay takes
// the record from the producer and sends it again after Release. A frozen relay counts as stopped
// when its lease has expired; when it continues, it can send one record per key that it had at the
// producer.
//
// In mode debezium the error is [errs.Conflict]: this package cannot stop a connector.
//
// When ctx ends first, the error is [errs.Transient] and the hold is in force; Describe names the
// relay that still publishes.
func (a Admin) Hold(ctx context.Context, reason string) error {
	// The owner distinguishes two runs of Republish. All operators share one owner.
	if _, err := takeHold(ctx, a.Pool, operatorHold, uuid.Nil, reason, nil); err != nil {
		return err
	}
	return awaitStopped(ctx, a.Pool)
}

// Release ends the hold of [Admin.Hold]. Relays continue within a third of their lease. Without a
// hold it has no effect.
func (a Admin) Release(ctx context.Context) error {
	if err := dropHold(ctx, a.Pool, operatorHold, uuid.Nil); err != nil {
		return err
	}
	a.wake()
	return nil
}

// takeHold creates or renews a hold; with a nil duration the hold lasts until it is dropped. taken
// is false when another owner has it. When takeHold returns, every relay that claims shards sees
// the hold: the lock waits for claims in progress. The transaction is one pipeline, including its
// end, so that a process that freezes in the middle of it does not keep the lock.
func takeHold(ctx context.Context, pool *pgxpool.Pool, name string, owner uuid.UUID, reason string, lasts *time.Duration) (taken bool, err error) {
	const q = `
		INSERT INTO outbox_hold (name, owner, reason, expires_at)
		SELECT $1, $2, $3, coalesce(clock_timestamp() + $4::interval, 'infinity') FROM outbox_mode WHERE mode = 'polling'
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, reason = excluded.reason, expires_at = excluded.expires_at
			WHERE outbox_hold.owner = excluded.owner OR outbox_hold.expires_at <= clock_timestamp()`
	var b pgx.Batch
	b.Queue(`BEGIN`)
	b.Queue(`LOCK TABLE outbox_lease IN SHARE MODE`)
	b.Queue(q, name, owner, reason, lasts).Exec(func(tag pgconn.CommandTag) error {
		taken = tag.RowsAffected() == 1
		return nil
	})
	var mode capture.Mode
	b.Queue(`SELECT mode FROM outbox_mode`).QueryRow(func(row pgx.Row) error { return row.Scan(&mode) })
	b.Queue(`COMMIT`)
	if err := pool.SendBatch(ctx, &b).Close(); err != nil {
		return false, postgres.Classify(fmt.Errorf("hold the outbox: %w", err))
	}
	if mode == capture.Debezium {
		return false, errs.New(errs.Conflict, "hold the outbox: Debezium relays it, which this does not stop; change the mode to polling first")
	}
	return taken, nil
}

func dropHold(ctx context.Context, q postgres.Querier, name string, owner uuid.UUID) error {
	if _, err := q.Exec(ctx, `DELETE FROM outbox_hold WHERE name = $1 AND owner = $2`, name, owner); err != nil {
		return postgres.Classify(fmt.Errorf("release the outbox: %w", err))
	}
	return nil
}

// awaitStopped waits until no relay leads a shard.
func awaitStopped(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		var busy int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM outbox_lease WHERE holder IS NOT NULL AND expires_at > clock_timestamp()`).Scan(&busy)
		if err != nil && ctx.Err() == nil {
			return postgres.Classify(fmt.Errorf("wait for the outbox relays to stop: %w", err))
		}
		if err == nil && busy == 0 {
			return nil
		}
		if sleep(ctx, stoppedPoll); ctx.Err() != nil {
			return errs.New(errs.Transient, "wait for the outbox relays to stop: %d shards are still published: %w", busy, ctx.Err())
		}
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
