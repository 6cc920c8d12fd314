package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// Description is an outbox table at one moment, for operators.
type Description struct {
	Unpublished int64      `json:"unpublished"`
	OldestAge   float64    `json:"oldestAgeSeconds"`     // of the unpublished ones; 0 when there is none
	Published   int64      `json:"published"`            // published and retained
	OldestKept  *time.Time `json:"oldestKept,omitempty"` // when the oldest published row was created

	PublishedEstimated bool `json:"publishedEstimated"` // of a large table, also by topic

	Partitions []Partition `json:"partitions"`
	Leases     []Lease     `json:"leases"`
	Holds      []Hold      `json:"holds"`  // why no relay publishes; none: they may
	Topics     []Backlog   `json:"topics"` // those with rows, by name

	// Refused is what the broker refuses of this process's relay: 100 at most, whole topics
	// first, then the oldest. Other processes have their own.
	Refused []Refused `json:"refused"`
}

// Partition is one day of the table.
type Partition struct {
	Name  string `json:"name"`
	From  string `json:"from"`  // 2026-11-25, the UTC day; empty of the default partition
	To    string `json:"to"`    // the day after
	Rows  int64  `json:"rows"`  // estimated by the server's statistics
	Bytes int64  `json:"bytes"` // with its indexes
}

// Lease says which relay publishes a shard.
type Lease struct {
	Shard   int       `json:"shard"`
	Owner   string    `json:"owner"` // a relay's id; empty when nobody does
	Expires time.Time `json:"expires"`
}

// Hold is a reason why no relay publishes: see Outbox.Hold and Outbox.Republish.
type Hold struct {
	Name    string     `json:"name"` // operator or republish
	Reason  string     `json:"reason"`
	Since   time.Time  `json:"since"`
	Expires *time.Time `json:"expires,omitempty"` // none: it lasts until it is released
}

// Backlog is what there is of one topic.
type Backlog struct {
	Topic       string `json:"topic"`
	Unpublished int64  `json:"unpublished"`
	Published   int64  `json:"published"`
}

// samplePages bounds what Describe reads of the published rows, in pages of the server
// (8 KiB as a rule): 256 MiB, which is about half a million events and takes the server
// less than a second when they are cached.
const samplePages = 32 << 10

// Describe looks at the table for people; gauges use Relay's own measurement. Unpublished
// rows are counted by their index. Published rows are counted as well as long as the table
// is small; of a large one a sample is, and PublishedEstimated says so. The time it takes
// so depends on the backlog and not on what is retained.
func (o *Outbox) Describe(ctx context.Context, pool *pgxpool.Pool) (Description, error) {
	d := Description{Partitions: []Partition{}, Leases: []Lease{}, Holds: []Hold{}, Topics: []Backlog{}, Refused: []Refused{}}
	if relay := o.relay.Load(); relay != nil {
		d.Refused = relay.flight.describe()
	}
	// One snapshot, so that the figures agree.
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := describeRows(ctx, tx, &d, samplePages); err != nil {
			return err
		}
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
		d.Holds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Hold])
		return err
	})
	if err != nil {
		return d, postgres.Classify(fmt.Errorf("describe outbox: %w", err))
	}
	return d, nil
}

func describeRows(ctx context.Context, tx pgx.Tx, d *Description, pages int64) error {
	var share float64 // of the table's pages, that are looked at
	var heap int64
	err := tx.QueryRow(ctx, `SELECT coalesce(sum(pg_relation_size(inhrelid) / current_setting('block_size')::bigint), 0)::bigint
		FROM pg_inherits WHERE inhparent = 'outbox'::regclass`).Scan(&heap)
	if err != nil {
		return err
	}
	share = min(1, float64(pages)/float64(max(heap, 1)))
	d.PublishedEstimated = share < 1
	rows, err := tx.Query(ctx, `
		WITH waiting AS (
			SELECT topic, count(*) AS rows, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age
			FROM outbox WHERE published_at IS NULL GROUP BY topic
		), kept AS (
			SELECT topic, round(count(*) / $1::float8)::bigint AS rows
			FROM outbox TABLESAMPLE SYSTEM (100 * $1::float8) WHERE published_at IS NOT NULL GROUP BY topic
		)
		SELECT topic, coalesce(waiting.rows, 0), coalesce(kept.rows, 0), coalesce(age, 0)
		FROM waiting FULL JOIN kept USING (topic) ORDER BY topic`, share)
	if err != nil {
		return err
	}
	var b Backlog
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&b.Topic, &b.Unpublished, &b.Published, &age}, func() error {
		d.Topics = append(d.Topics, b)
		d.Unpublished += b.Unpublished
		d.Published += b.Published
		d.OldestAge = max(d.OldestAge, age)
		return nil
	})
	if err != nil {
		return err
	}
	// Ids begin with their time, so the first in the order of the primary key is the oldest.
	err = tx.QueryRow(ctx, `SELECT created_at FROM outbox WHERE published_at IS NOT NULL ORDER BY id LIMIT 1`).Scan(&d.OldestKept)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if d.OldestKept != nil {
		*d.OldestKept = d.OldestKept.UTC()
	}
	return err
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
