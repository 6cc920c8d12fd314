package capture

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

const (
	// confirmEvery is how often a Confirmer checks the slot. A confirmation takes two or three
	// checks, and Debezium confirms once a second.
	confirmEvery = time.Second
	// confirmBatch is how many rows a statement marks: about 0.1 s of work.
	confirmBatch = 5000
	// unreadFor is how long a slot may have no reader before the Confirmer is not ready. A
	// connector that restarts takes some seconds.
	unreadFor = 30 * time.Second
	// statementTimeout bounds a statement. A connection that broke unnoticed would otherwise block
	// the loop until the system closes it after a quarter of an hour.
	statementTimeout = 15 * time.Second
)

// Config configures a Confirmer. The zero value of each field but Shards is usable.
type Config struct {
	// Shards returns the shards that the relay of this process leads. The Confirmer marks only rows
	// of these shards, so that each row is marked by one process.
	Shards     func() []int16
	Failures   prometheus.Counter    // counts the failed checks; nil: not counted
	Logger     *slog.Logger          // slog.Default
	Registerer prometheus.Registerer // nil: metrics are kept but not exposed
}

// Confirmer marks the rows that Debezium has sent as published, in mode [Debezium]. In mode
// [Polling] it only reads the mode. It works in rounds; each round is a confirmation.
type Confirmer struct {
	pool    *pgxpool.Pool
	cfg     Config
	metrics *metrics

	mu      sync.Mutex
	failing error // why the last check failed
	stopped error // why Debezium does not relay
}

// NewConfirmer returns a confirmer for the outbox table in pool. It does nothing until Run.
func NewConfirmer(pool *pgxpool.Pool, cfg Config) *Confirmer {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Confirmer{pool: pool, cfg: cfg, metrics: newMetrics(cfg.Registerer)}
}

// Ready returns nil in mode [Polling], and while Debezium reads its slot. Otherwise it returns the
// reason: the database does not answer, the slot is lost, or no session has read the slot for half
// a minute.
func (c *Confirmer) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing != nil {
		return c.failing
	}
	return c.stopped
}

// confirmation is one round: it confirms the events with sequence numbers up to seq. It takes three
// steps, and each may take any time.
//
//  1. The Confirmer reads seq, the last number of the sequence, and notes the writers of this
//     moment: the transactions that have the lock that an INSERT takes before it draws a number and
//     keeps to the end of its transaction. See [queue.Begin].
//  2. The writers have ended. From now on no new row up to seq can appear, and every existing one
//     was committed before the current position in the log, which the Confirmer notes now.
//  3. The slot is confirmed up to that position. Debezium has sent these rows, because it reads
//     transactions in the order of their commits and confirms none before Kafka has it.
//
// The round relies neither on a clock nor on sequence numbers following the order of commits.
type confirmation struct {
	queue.Start
	lsn string // empty until step 2
}

// progress is a round, and where the next one begins to search: the entries below from that
// Debezium sends are all confirmed. So a round does not visit the removed entries of earlier ones.
type progress struct {
	round *confirmation
	from  int64
	// for which from holds
	shards      []int16
	incarnation uuid.UUID
}

// Run marks what Debezium has sent until ctx is done. It must be called only once.
func (c *Confirmer) Run(ctx context.Context) {
	var at progress
	var unread time.Time // since when no session reads the slot
	for ctx.Err() == nil {
		m, err := c.look(ctx)
		if err == nil && (m.Mode != Debezium || m.Lost != "") {
			at = progress{}
		} else if err == nil {
			err = c.confirm(ctx, m, &at)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			c.note(m, &unread)
		}
		c.report(err)
		select {
		case <-ctx.Done():
		case <-time.After(confirmEvery):
		}
	}
}

// look reads the mode, and records that a slot is lost. The record stays when a slot of the same
// name appears: neither of the two slots has what was committed in between.
func (c *Confirmer) look(ctx context.Context) (m RelayMode, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err = c.pool.QueryRow(ctx, `SELECT mode, slot, lost FROM outbox_mode`).Scan(&m.Mode, &m.Slot, &m.Lost)
	if err == nil && m.Mode == Debezium {
		m.State, err = slotState(ctx, c.pool, m.Slot)
	}
	if err == nil && m.Mode == Debezium && m.Lost == "" && m.State.lost(m.Slot) != "" {
		m.Lost = m.State.lost(m.Slot)
		_, err = c.pool.Exec(ctx, `UPDATE outbox_mode SET lost = $1 WHERE mode = 'debezium' AND slot = $2 AND lost = ''`, m.Lost, m.Slot)
		c.cfg.Logger.Error("Debezium can not go on", "slot", m.Slot, "reason", m.Lost)
	}
	if err != nil {
		return m, postgres.Classify(fmt.Errorf("look at the replication slot: %w", err))
	}
	return m, nil
}

// note updates Ready and the metrics: whether Debezium relays.
func (c *Confirmer) note(m RelayMode, unread *time.Time) {
	c.metrics.set(m)
	var why error
	switch {
	case m.Mode != Debezium:
		*unread = time.Time{}
	case m.Lost != "":
		why = fmt.Errorf("%s; change the mode to polling, which sends what is unpublished", m.Lost)
	case m.State.Active:
		*unread = time.Time{}
	case unread.IsZero():
		*unread = time.Now()
	case time.Since(*unread) > unreadFor:
		why = fmt.Errorf("no process reads the slot %s: Kafka Connect is away, or its connector has failed", m.Slot)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = why
}

// report counts and logs a failed check. With a nil error it logs the recovery.
func (c *Confirmer) report(err error) {
	c.mu.Lock()
	before := c.failing
	c.failing = err
	c.mu.Unlock()
	switch {
	case err != nil:
		if c.cfg.Failures != nil {
			c.cfg.Failures.Inc()
		}
		c.cfg.Logger.Warn("outbox relay will try again", "operation", "confirm", "error", err)
	case before != nil:
		c.cfg.Logger.Info("outbox relay works again", "operation", "confirm")
	}
}

const (
	eventWaits = `
SELECT EXISTS (
	SELECT FROM unnest($1::smallint[]) AS s (shard) CROSS JOIN LATERAL (
		SELECT q.seq FROM outbox_queue q
		WHERE q.shard = s.shard AND q.seq >= CASE WHEN ` + queue.Incarnation + ` = $3::uuid THEN $2::bigint ELSE 0 END AND q.captured
		ORDER BY q.seq LIMIT 1
	) first
), ` + queue.Incarnation

	markSent = `
WITH gone AS (
	DELETE FROM outbox_queue WHERE ctid = ANY (ARRAY(
		SELECT entry.ctid FROM unnest($1::smallint[]) AS s (shard) CROSS JOIN LATERAL (
			SELECT q.ctid FROM outbox_queue q
			WHERE q.shard = s.shard AND q.seq BETWEEN $2 AND $3 AND q.captured
				AND $4::pg_lsn >= $5::pg_lsn AND ` + queue.Incarnation + ` = $7::uuid
			ORDER BY q.seq LIMIT $6
		) entry LIMIT $6
	)) RETURNING seq
), noted AS (
	INSERT INTO outbox_acknowledgement (seqs) SELECT range_agg(int8range(seq, seq, '[]')) FROM gone HAVING count(*) > 0
) SELECT count(*) FROM gone`
)

// confirm takes the steps of a round that are possible now.
func (c *Confirmer) confirm(ctx context.Context, m RelayMode, at *progress) error {
	shards := c.cfg.Shards()
	slices.Sort(shards)
	if !slices.Equal(shards, at.shards) {
		*at = progress{shards: shards} // others lead, or led
	}
	if len(shards) == 0 {
		return nil
	}
	if at.round != nil && at.round.lsn != "" {
		done, err := c.mark(ctx, m, *at)
		if err != nil || !done {
			return err
		}
		at.from, at.round = at.round.Seq+1, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if at.round == nil {
		if err := c.begin(ctx, at); err != nil || at.round == nil {
			return err
		}
	}
	ended, err := at.round.Writers.Ended(ctx, c.pool)
	if err == nil && ended {
		err = c.pool.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&at.round.lsn)
	}
	if err != nil {
		return postgres.Classify(fmt.Errorf("look for what Debezium has sent: %w", err))
	}
	return nil
}

// begin takes the first step of a round, if there is something to confirm.
func (c *Confirmer) begin(ctx context.Context, at *progress) error {
	var waiting bool
	var incarnation *uuid.UUID
	var b pgx.Batch
	b.Queue(queue.InOrder)
	b.Queue(eventWaits, at.shards, at.from, at.incarnation).QueryRow(func(row pgx.Row) error { return row.Scan(&waiting, &incarnation) })
	err := c.pool.SendBatch(ctx, &b).Close()
	if err == nil && (incarnation == nil || *incarnation != at.incarnation) {
		at.from = 0 // the server has forgotten marks, and may draw numbers again
	}
	if err == nil && waiting {
		at.round = &confirmation{}
		at.round.Start, err = queue.Begin(ctx, c.pool)
		at.incarnation = at.round.Incarnation
	}
	if err != nil {
		at.round = nil
		return postgres.Classify(fmt.Errorf("look for what Debezium has sent: %w", err))
	}
	return nil
}

// mark removes the events of a round from the queue if the slot has been confirmed that far, and if
// the server has not crashed since the round began: positions in the log and sequence numbers from
// before a crash mean nothing after it. The commit does not wait for the disk: a round after the server's crash finds a lost mark again, and
// the business transactions need the disk more.
func (c *Confirmer) mark(ctx context.Context, m RelayMode, at progress) (done bool, err error) {
	for {
		var rows int64
		var reached bool
		var b pgx.Batch
		b.Queue(queue.InOrderAsync)
		b.Queue(`SELECT $1::pg_lsn >= $2::pg_lsn`, m.State.confirmed, at.round.lsn).QueryRow(func(row pgx.Row) error { return row.Scan(&reached) })
		b.Queue(markSent, at.shards, at.from, at.round.Seq, m.State.confirmed, at.round.lsn, confirmBatch, at.round.Incarnation).
			QueryRow(func(row pgx.Row) error { return row.Scan(&rows) })
		batch, cancel := context.WithTimeout(ctx, statementTimeout)
		err := c.pool.SendBatch(batch, &b).Close()
		cancel()
		if err != nil {
			return false, fmt.Errorf("mark what Debezium has sent: %w", postgres.Classify(err))
		}
		if !reached || rows < confirmBatch {
			return reached, nil
		}
	}
}
