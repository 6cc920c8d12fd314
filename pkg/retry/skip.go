package retry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Skip is an operator's request to skip a record that waits and cannot be stored, and the result of
// the request.
type Skip struct {
	Place
	Actor, Reason string
	AskedAt       time.Time
	SkippedAt     time.Time // zero: the consumer has not tried the record since
}

// String returns the place as operators write it: TOPIC/PARTITION/OFFSET.
func (p Place) String() string { return fmt.Sprintf("%s/%d/%d", p.Topic, p.Partition, p.Offset) }

// Skip asks the group's consumer to skip a record without any effect. The consumer does so when it
// next tries the record, and only while the record is what its partition waits for. A request for a
// record that was handled has no effect. Skip is the last resort, for a record that cannot even be
// stored as a dead letter. Asking again changes nothing and returns the first request.
//
// Errors: errs.Invalid without a reason or for a place that Kafka does not have; errs.Conflict for
// a record that has a dead letter, because the decision belongs there.
func (s *Store) Skip(ctx context.Context, pool *pgxpool.Pool, p Place, actor, reason string) (Skip, error) {
	switch {
	case strings.TrimSpace(reason) == "":
		return Skip{}, errs.Field("reason", "is required")
	case p.Topic == "":
		return Skip{}, errs.Field("topic", "is required")
	case p.Partition < 0:
		return Skip{}, errs.Field("partition", "must not be negative")
	case p.Offset < 0:
		return Skip{}, errs.Field("offset", "must not be negative")
	}
	var done Skip
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO given_up (consumer_group, topic, record_partition, record_offset, decision, actor, reason, asked_at)
			VALUES ($1, $2, $3, $4, 'skip', $5, $6, clock_timestamp())
			ON CONFLICT (consumer_group, topic, record_partition, record_offset) DO NOTHING`,
			s.group, p.Topic, p.Partition, p.Offset, actor, clip(reason))
		if err != nil {
			return fmt.Errorf("ask for a record to be skipped: %w", err)
		}
		var letter *uuid.UUID
		var asked, skipped *time.Time
		done = Skip{Place: p}
		err = tx.QueryRow(ctx, `SELECT dead_letter, actor, reason, asked_at, skipped_at FROM given_up
			WHERE consumer_group = $1 AND topic = $2 AND record_partition = $3 AND record_offset = $4`,
			s.group, p.Topic, p.Partition, p.Offset).Scan(&letter, &done.Actor, &done.Reason, &asked, &skipped)
		switch {
		case err != nil:
			return fmt.Errorf("read what was asked for: %w", err)
		case letter != nil:
			return errs.New(errs.Conflict, "record %s is dead letter %s: resubmit or discard that", p, letter)
		}
		done.AskedAt, done.SkippedAt = orZero(asked), orZero(skipped)
		return nil
	})
	return done, err
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// Asked returns which of the places an operator asked to be skipped.
func (s *Store) Asked(ctx context.Context, q postgres.Querier, places ...Place) (map[Place]bool, error) {
	asked := map[Place]bool{}
	if len(places) == 0 {
		return asked, nil
	}
	topics, partitions, offsets := make([]string, len(places)), make([]int32, len(places)), make([]int64, len(places))
	for i, p := range places {
		topics[i], partitions[i], offsets[i] = p.Topic, p.Partition, p.Offset
	}
	rows, err := q.Query(ctx, `SELECT g.topic, g.record_partition, g.record_offset FROM given_up g
		JOIN unnest($2::text[], $3::int[], $4::bigint[]) AS r (topic, record_partition, record_offset)
			USING (topic, record_partition, record_offset)
		WHERE g.consumer_group = $1 AND g.asked_at IS NOT NULL`, s.group, topics, partitions, offsets)
	if err == nil {
		var p Place
		_, err = pgx.ForEachRow(rows, []any{&p.Topic, &p.Partition, &p.Offset}, func() error {
			asked[p] = true
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for records to skip: %w", err))
	}
	return asked, nil
}

// Skipped stores, in the transaction that skips a record, that it was skipped.
func (s *Store) Skipped(ctx context.Context, tx pgx.Tx, r Record) error {
	_, err := tx.Exec(ctx, `UPDATE given_up SET decision = 'skipped', record_time = $5, skipped_at = coalesce(skipped_at, clock_timestamp())
		WHERE consumer_group = $1 AND topic = $2 AND record_partition = $3 AND record_offset = $4 AND asked_at IS NOT NULL`,
		s.group, r.Topic, r.Partition, r.Offset, r.Time)
	if err != nil {
		return postgres.Classify(fmt.Errorf("note that a record was skipped: %w", err))
	}
	return nil
}

// Skips returns the requests to skip records, newest first, at most limit. A limit of 0 or of
// more than MaxList means MaxList.
func (s *Store) Skips(ctx context.Context, q postgres.Querier, limit int) ([]Skip, error) {
	if limit <= 0 || limit > MaxList {
		limit = MaxList
	}
	rows, err := q.Query(ctx, `SELECT topic, record_partition, record_offset, actor, reason, asked_at, skipped_at FROM given_up
		WHERE consumer_group = $1 AND asked_at IS NOT NULL ORDER BY asked_at DESC LIMIT $2`, s.group, limit)
	var all []Skip
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k Skip, err error) {
			var skipped *time.Time
			err = row.Scan(&k.Topic, &k.Partition, &k.Offset, &k.Actor, &k.Reason, &k.AskedAt, &skipped)
			k.SkippedAt = orZero(skipped)
			return k, err
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("list records to skip: %w", err))
	}
	return all, nil
}
