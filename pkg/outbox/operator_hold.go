package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// The holds there can be. Two at once are two reasons, and each ends by itself.
const (
	operatorHold  = "operator"
	republishHold = "republish"
)

// quietPoll is how often Hold looks whether the relays have stopped, which takes them
// about a second.
const quietPoll = 50 * time.Millisecond

// Hold stops all relays of the table until Release and returns when they have stopped:
// nothing is at a producer any more, everything acknowledged is marked. Appends go on and
// wait in the table. Relays that hold are not Ready and say why. Held already: the reason
// is replaced.
//
// A record that the broker does not acknowledge within the relay's DrainTimeout is given
// up, and sent again after Release. A relay that is frozen counts as stopped when its
// lease has run out; thawed, it can send of each key the one record that it had at the
// producer.
//
// In mode debezium the error is errs.Conflict: nothing here stops a connector.
//
// When ctx ends first, the error is errs.Transient and the hold is in force; a relay that
// publishes still is named by Describe.
func (o *Outbox) Hold(ctx context.Context, pool *pgxpool.Pool, reason string) error {
	// The owner tells two runs of Republish apart; operators are one.
	if _, err := takeHold(ctx, pool, operatorHold, uuid.Nil, reason, nil); err != nil {
		return err
	}
	return quiet(ctx, pool)
}

// Release ends what Hold began. Relays go on within a third of their lease. It is
// harmless when nothing is held.
func (o *Outbox) Release(ctx context.Context, pool *pgxpool.Pool) error {
	if err := dropHold(ctx, pool, operatorHold, uuid.Nil); err != nil {
		return err
	}
	o.Wake()
	return nil
}

// takeHold makes or renews a hold; nil lasts for ever. taken is false when another owner
// has it. When it returns, every relay that claims shards sees the hold: the lock waits
// for those that are claiming at this moment. The transaction is one pipeline, its end
// included, so that nobody who is frozen in the middle of it keeps the lock.
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
	var mode Mode
	b.Queue(`SELECT mode FROM outbox_mode`).QueryRow(func(row pgx.Row) error { return row.Scan(&mode) })
	b.Queue(`COMMIT`)
	if err := pool.SendBatch(ctx, &b).Close(); err != nil {
		return false, postgres.Classify(fmt.Errorf("hold the outbox: %w", err))
	}
	if mode == Debezium {
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

// quiet waits until no relay leads a shard.
func quiet(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		var busy int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM outbox_lease WHERE holder IS NOT NULL AND expires_at > clock_timestamp()`).Scan(&busy)
		if err != nil {
			return postgres.Classify(fmt.Errorf("wait for the outbox relays to stop: %w", err))
		}
		if busy == 0 {
			return nil
		}
		if sleep(ctx, quietPoll); ctx.Err() != nil {
			return errs.New(errs.Transient, "wait for the outbox relays to stop: %d shards are still published: %w", busy, ctx.Err())
		}
	}
}

// stand is a turn of the lease loop under a hold: it gives up the shards as soon as
// nothing of them is in flight, and returns those. What the broker does not acknowledge
// in time is taken from the producer. That is not AbortBufferedRecords, which waits for
// answers: of a broker that lost its data they never come, and the records would be the
// first that its successor gets. Unacknowledged, they stay unpublished, and the client
// takes a new producer epoch.
func (r *Relay) stand(shards []int16, reason string) (idle []int16) {
	now := r.clock()
	r.mu.Lock()
	if r.heldFor == "" {
		r.heldSince = now
		r.cfg.Logger.Info("outbox relay is held", "reason", reason)
	}
	r.heldFor = reason
	since := r.heldSince
	r.mu.Unlock()
	r.metrics.onHold.Set(1)
	idle = r.flight.part(shards, now)
	if _, sent, _, _ := r.flight.counts(); sent > 0 && now.Sub(since) > r.cfg.DrainTimeout {
		r.abort()
	}
	return idle
}

// standDown notes that there is no hold. After one the broker may be another, with the
// same topics under other ids: followRecreated looks them up before anything is sent.
func (r *Relay) standDown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heldFor != "" {
		r.heldFor = ""
		r.released = true
		r.cfg.Logger.Info("outbox relay is released")
	}
	r.metrics.onHold.Set(0)
}

// givenUp tells records that we took from the producer from those the broker refused.
func givenUp(err error) bool {
	return errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, kgo.ErrAborting)
}
