package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// Description is an outbox table at one moment, for operators.
type Description struct {
	Unpublished int64       `json:"unpublished"`
	OldestAge   float64     `json:"oldestAgeSeconds"` // of the unpublished ones; 0 when there is none
	Published   int64       `json:"published"`        // published and retained
	OldestKept  *time.Time  `json:"oldestKept,omitempty"`
	Partitions  []Partition `json:"partitions"`
	Leases      []Lease     `json:"leases"`
	Topics      []Backlog   `json:"topics"` // those with rows, by name
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

// Backlog is what there is of one topic.
type Backlog struct {
	Topic       string `json:"topic"`
	Unpublished int64  `json:"unpublished"`
	Published   int64  `json:"published"`
}

// Describe looks at the whole table, which takes about a second for each million rows
// retained: it is for people, and gauges use Relay's own measurement.
func (o *Outbox) Describe(ctx context.Context, pool *pgxpool.Pool) (Description, error) {
	d := Description{Partitions: []Partition{}, Leases: []Lease{}, Topics: []Backlog{}}
	// One snapshot, so that the figures agree.
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := describeRows(ctx, tx, &d); err != nil {
			return err
		}
		if err := describePartitions(ctx, tx, &d); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT shard, coalesce(CASE WHEN expires_at > now() THEN holder::text END, ''), greatest(expires_at, 'epoch') FROM outbox_lease ORDER BY shard`)
		if err != nil {
			return err
		}
		d.Leases, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Lease])
		return err
	})
	if err != nil {
		return d, postgres.Classify(fmt.Errorf("describe outbox: %w", err))
	}
	return d, nil
}

func describeRows(ctx context.Context, tx pgx.Tx, d *Description) error {
	rows, err := tx.Query(ctx, `
		SELECT topic, count(*) FILTER (WHERE published_at IS NULL), count(published_at),
			coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE published_at IS NULL)), 0)::float8,
			min(created_at) FILTER (WHERE published_at IS NOT NULL)
		FROM outbox GROUP BY topic ORDER BY topic`)
	if err != nil {
		return err
	}
	var b Backlog
	var age float64
	var kept *time.Time
	_, err = pgx.ForEachRow(rows, []any{&b.Topic, &b.Unpublished, &b.Published, &age, &kept}, func() error {
		d.Topics = append(d.Topics, b)
		d.Unpublished += b.Unpublished
		d.Published += b.Published
		d.OldestAge = max(d.OldestAge, age)
		if kept != nil && (d.OldestKept == nil || kept.Before(*d.OldestKept)) {
			oldest := kept.UTC()
			d.OldestKept = &oldest
		}
		return nil
	})
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
