package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

const (
	// confirmEvery is how often the relay looks at the slot. A confirmation takes two or
	// three looks, and Debezium confirms once a second.
	confirmEvery = time.Second
	// confirmBatch is how many rows a statement marks: about 0.1 s of work.
	confirmBatch = 5000
	// unreadFor is how long nobody may read the slot before the relay is not Ready: a
	// connector that restarts takes some seconds.
	unreadFor = 30 * time.Second
)

// confirmation is what is going to be confirmed: the events with sequence numbers up to
// seq. It takes three steps, each of which may take as long as it likes.
//
//  1. seq is read: the largest one that is visible. Whoever has drawn a lower one has begun
//     to insert before. The writers of this moment are noted, as those that hold the lock an
//     INSERT takes before it draws anything and keeps to the end of its transaction.
//  2. The writers have ended. From now on there will be no new row up to seq, and every one
//     that is there was committed before the position in the log that is noted now.
//  3. The slot is confirmed up to that position: Debezium has sent them all, for it reads
//     transactions in the order of their commits and confirms none before Kafka has it.
//
// Neither a clock nor the order of sequence numbers and commits is relied on.
type confirmation struct {
	seq     int64
	writers []string
	lsn     string // empty until step 2
}

// confirmLoop marks what Debezium has sent, in mode debezium, until ctx is done.
func (r *Relay) confirmLoop(ctx context.Context) {
	var c confirmation
	var unread time.Time // since when nobody reads the slot
	for ctx.Err() == nil {
		m, err := r.out.captureState(ctx, r)
		if err == nil && (m.Mode != Debezium || m.Lost != "") {
			c = confirmation{}
		} else if err == nil {
			err = r.confirm(ctx, m, &c)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			r.noteCapture(m, &unread)
		}
		r.trouble("confirm", err)
		sleep(ctx, confirmEvery)
	}
}

// captureState reads the mode, and notes that a slot is lost. That is not taken back when
// a slot of the same name appears: what is between the two is in neither.
func (o *Outbox) captureState(ctx context.Context, r *Relay) (m RelayMode, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err = r.pool.QueryRow(ctx, `SELECT mode, slot, lost FROM outbox_mode`).Scan(&m.Mode, &m.Slot, &m.Lost)
	if err == nil && m.Mode == Debezium {
		m.State, err = slotState(ctx, r.pool, m.Slot)
	}
	if err == nil && m.Mode == Debezium && m.Lost == "" && m.State.lost(m.Slot) != "" {
		m.Lost = m.State.lost(m.Slot)
		_, err = r.pool.Exec(ctx, `UPDATE outbox_mode SET lost = $1 WHERE mode = 'debezium' AND slot = $2 AND lost = ''`, m.Lost, m.Slot)
		r.cfg.Logger.Error("Debezium can not go on", "slot", m.Slot, "reason", m.Lost)
	}
	if err != nil {
		return m, postgres.Classify(fmt.Errorf("look at the replication slot: %w", err))
	}
	return m, nil
}

// noteCapture says in Ready and in the metrics how Debezium does.
func (r *Relay) noteCapture(m RelayMode, unread *time.Time) {
	r.metrics.capture(m)
	var why error
	switch {
	case m.Mode != Debezium:
		*unread = time.Time{}
	case m.Lost != "":
		why = fmt.Errorf("%s; `shop relay recover` has everything sent", m.Lost)
	case m.State.Active:
		*unread = time.Time{}
	case unread.IsZero():
		*unread = time.Now()
	case time.Since(*unread) > unreadFor:
		why = fmt.Errorf("nobody reads the slot %s: Kafka Connect is away, or its connector has failed", m.Slot)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.capture = why
}

// writersOf are the transactions that may insert. Their ids are never used again while the
// server runs, and when it stops they end.
const writersOf = `SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
	WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock' AND granted`

// confirm takes the steps that can be taken now.
func (r *Relay) confirm(ctx context.Context, m RelayMode, c *confirmation) error {
	shards := r.flight.view(r.clock(), r.cfg.MaxInFlight).shards
	if len(shards) == 0 {
		*c = confirmation{} // another relay does it
		return nil
	}
	if c.lsn != "" {
		done, err := r.confirmRows(ctx, m, shards, *c)
		if err != nil || !done {
			return err
		}
		*c = confirmation{}
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var writers []string
	if c.seq == 0 {
		err := r.pool.QueryRow(ctx, `SELECT max(seq) FROM outbox WHERE published_at IS NULL AND ce_specversion IS NOT NULL AND publication = 1
			AND shard = ANY ($1) HAVING max(seq) IS NOT NULL`, shards).Scan(&c.seq)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = r.pool.QueryRow(ctx, writersOf).Scan(&c.writers)
		}
		if err != nil {
			*c = confirmation{}
			return postgres.Classify(fmt.Errorf("look for what Debezium has sent: %w", err))
		}
	}
	err := r.pool.QueryRow(ctx, writersOf).Scan(&writers)
	if err == nil && !slices.ContainsFunc(c.writers, func(w string) bool { return slices.Contains(writers, w) }) {
		err = r.pool.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&c.lsn)
	}
	if err != nil {
		return postgres.Classify(fmt.Errorf("look for what Debezium has sent: %w", err))
	}
	return nil
}

// confirmRows marks the rows of a confirmation if the slot has come that far. The commit
// does not wait for the disk, see mark.
func (r *Relay) confirmRows(ctx context.Context, m RelayMode, shards []int16, c confirmation) (done bool, err error) {
	for {
		var rows int64
		var reached bool
		var b pgx.Batch
		b.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
		b.Queue(`SELECT $1::pg_lsn >= $2::pg_lsn`, m.State.confirmed, c.lsn).QueryRow(func(row pgx.Row) error { return row.Scan(&reached) })
		b.Queue(`WITH due AS (
				SELECT id FROM outbox WHERE shard = ANY ($1) AND published_at IS NULL AND ce_specversion IS NOT NULL AND publication = 1
					AND seq <= $2 AND $3::pg_lsn >= $4::pg_lsn LIMIT $5
			), marked AS (
				UPDATE outbox o SET published_at = clock_timestamp() FROM due WHERE o.id = due.id AND o.published_at IS NULL RETURNING 1
			) SELECT count(*) FROM marked`, shards, c.seq, m.State.confirmed, c.lsn, confirmBatch).
			QueryRow(func(row pgx.Row) error { return row.Scan(&rows) })
		batch, cancel := context.WithTimeout(ctx, statementTimeout)
		err := r.pool.SendBatch(batch, &b).Close()
		cancel()
		if err != nil {
			return false, fmt.Errorf("mark what Debezium has sent: %w", postgres.Classify(err))
		}
		if !reached || rows < confirmBatch {
			return reached, nil
		}
	}
}
