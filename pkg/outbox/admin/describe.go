package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

// Admin offers operators' work on the outbox table of one database. Pool is required. It is safe
// for concurrent use.
type Admin struct {
	Pool *pgxpool.Pool
	// Wake wakes the relay of this process, for example [outbox.Outbox.Wake]. When it is nil,
	// relays find their work by polling.
	Wake func()
	// Refused returns the records of this process's relay that the broker refuses, for Describe. It
	// is nil when this process has no relay.
	Refused func() []outbox.Refused
}

func (a Admin) wake() {
	if a.Wake != nil {
		a.Wake()
	}
}

// Description is an outbox table at one moment, for operators.
type Description struct {
	Unpublished int64
	OldestAge   float64    // of the unpublished ones; 0 when there is none
	Published   int64      // published and retained
	OldestKept  *time.Time // when the oldest published row was created; none among the first 10,000 rows: nil

	UnpublishedEstimated bool // when thousands wait, also by topic
	PublishedEstimated   bool // of a large table, also by topic

	Partitions []Partition
	Leases     []Lease
	Holds      []Hold    // why no relay publishes; empty when they may
	Topics     []Backlog // those with rows, by name

	// Refused are the records of this process's relay that the broker refuses: 100 at most, whole
	// topics first, then the oldest. Those of other processes are not included.
	Refused []outbox.Refused
}

// Partition is one day of the table.
type Partition struct {
	Name  string
	From  string // 2026-11-25, the UTC day; empty of the default partition
	To    string // the day after
	Rows  int64  // estimated by the server's statistics
	Bytes int64  // with its indexes
}

// Lease names the relay that publishes a shard.
type Lease struct {
	Shard   int
	Owner   string // a relay's id; empty when no relay leads the shard
	Expires time.Time
}

// Hold is a reason why no relay publishes: see [Admin.Hold] and [Admin.Republish].
type Hold struct {
	Name    string // operator or republish
	Reason  string
	Since   time.Time
	Expires *time.Time // none: it lasts until it is released
}

// Backlog is the number of rows of one topic.
type Backlog struct {
	Topic       string
	Unpublished int64
	Published   int64
}

// samplePages bounds how many pages of the server (usually 8 KiB) Describe reads of the published
// rows: 256 MiB. That is about half a million events, and takes the server less than a second when
// they are cached.
const samplePages = 32 << 10

// Describe reads the table for operators; the gauges show the relay's own measurement. It counts
// exactly while the table and the queue are small. Of a large one it counts a sample and sets
// PublishedEstimated or UnpublishedEstimated. Errors: [errs.Transient] when the database is
// unavailable.
func (a Admin) Describe(ctx context.Context) (Description, error) {
	d := Description{Partitions: []Partition{}, Leases: []Lease{}, Holds: []Hold{}, Topics: []Backlog{}, Refused: []outbox.Refused{}}
	if a.Refused != nil {
		d.Refused = a.Refused()
	}
	// One snapshot, so that the figures agree.
	err := pgx.BeginTxFunc(ctx, a.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := describePartitions(ctx, tx, &d); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT shard, coalesce(CASE WHEN expires_at > now() THEN holder::text END, ''), greatest(expires_at, 'epoch') FROM outbox_lease ORDER BY shard`)
		if err != nil {
			return err
		}
		if d.Leases, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Lease]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT name, reason, since, nullif(expires_at, 'infinity') FROM outbox_hold WHERE expires_at > now() ORDER BY since`)
		if err != nil {
			return err
		}
		if d.Holds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Hold]); err != nil {
			return err
		}
		return describeRows(ctx, tx, &d, samplePages) // last: it changes how the transaction plans
	})
	if err != nil {
		return d, postgres.Classify(fmt.Errorf("describe outbox: %w", err))
	}
	return d, nil
}

func describeRows(ctx context.Context, tx pgx.Tx, d *Description, pages int64) error {
	var share float64 // the sampled share of the table's pages
	var heap int64
	err := tx.QueryRow(ctx, `SELECT coalesce(sum(pg_relation_size(inhrelid) / current_setting('block_size')::bigint), 0)::bigint
		FROM pg_inherits WHERE inhparent = 'outbox'::regclass`).Scan(&heap)
	if err != nil {
		return err
	}
	share = min(1, float64(pages)/float64(max(heap, 1)))
	d.PublishedEstimated = share < 1
	rows, err := tx.Query(ctx, `SELECT topic, round(count(*) / $1::float8)::bigint
		FROM outbox TABLESAMPLE SYSTEM (100 * $1::float8) GROUP BY topic`, share)
	if err != nil {
		return err
	}
	kept := map[string]int64{}
	var topic string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&topic, &n}, func() error { kept[topic] = n; return nil })
	if err != nil {
		return err
	}
	// Ids begin with their time, so the first in the order of the primary key is the oldest.
	err = tx.QueryRow(ctx, `SELECT created_at FROM (SELECT id, shard, seq, created_at FROM outbox ORDER BY id LIMIT 10000) o
		WHERE NOT EXISTS (SELECT FROM outbox_queue q WHERE q.shard = o.shard AND q.seq = o.seq) ORDER BY id LIMIT 1`).Scan(&d.OldestKept)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if d.OldestKept != nil {
		*d.OldestKept = d.OldestKept.UTC()
	}
	waiting, err := queue.ReadBacklog(ctx, tx, queue.NoBounds(0, 1, 2, 3))
	if err != nil {
		return err
	}
	d.OldestAge, d.UnpublishedEstimated = waiting.Oldest.Seconds(), waiting.Estimated
	for topic := range waiting.Topics {
		kept[topic] += 0 // a sample may have missed it
	}
	for _, topic := range slices.Sorted(maps.Keys(kept)) {
		b := Backlog{Topic: topic, Unpublished: waiting.Topics[topic]}
		b.Published = max(0, kept[topic]-b.Unpublished)
		d.Topics = append(d.Topics, b)
		d.Unpublished += b.Unpublished
		d.Published += b.Published
	}
	d.PublishedEstimated = d.PublishedEstimated || d.UnpublishedEstimated
	return nil
}

func describePartitions(ctx context.Context, tx pgx.Tx, d *Description) error {
	rows, err := tx.Query(ctx, `
		SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'outbox'::regclass ORDER BY c.relname`)
	if err != nil {
		return err
	}
	var p Partition
	_, err = pgx.ForEachRow(rows, []any{&p.Name, &p.Rows, &p.Bytes}, func() error {
		p.From, p.To = "", ""
		if day, ok := postgres.PartitionDay("outbox", p.Name); ok {
			p.From, p.To = day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)
		}
		d.Partitions = append(d.Partitions, p)
		return nil
	})
	return err
}
