package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// overdue is the delay after which an operator should look at a retry. It is far longer than the
// longest wait between attempts and than a consumer's restart. The retry record may be lost.
const overdue = 10 * time.Minute

// Stats summarises a group's failed records.
type Stats struct {
	Open        int64
	Resubmitted int64
	OldestOpen  time.Time // when the oldest open one was first given up; zero without one
	ByTopic     []TopicStats
	ByType      []TypeStats // open ones only
	Parked      ParkedStats
}

// TopicStats counts the dead letters of one topic.
type TopicStats struct {
	Topic             string
	Open, Resubmitted int64
	Oldest            time.Time // of the open ones; zero without one
}

// TypeStats counts the open dead letters of one event type and error class.
type TypeStats struct {
	EventType, Class string
	Open             int64
}

// ParkedStats counts what waits.
type ParkedStats struct {
	Retrying int64 // keys with a record in retry
	Dead     int64 // keys with a dead letter that waits for a decision
	Records  int64 // records that follow
	Overdue  int64 // retrying keys whose attempt is more than 10 minutes late
}

// Stats counts dead letters and parked keys. It reads the dead letters that are not closed, and the
// indexes of the parked keys and records.
func (s *Store) Stats(ctx context.Context, q postgres.Querier) (st Stats, err error) {
	if st.ByTopic, err = s.byTopic(ctx, q); err != nil {
		return Stats{}, err
	}
	for _, t := range st.ByTopic {
		st.Open += t.Open
		st.Resubmitted += t.Resubmitted
		if !t.Oldest.IsZero() && (st.OldestOpen.IsZero() || t.Oldest.Before(st.OldestOpen)) {
			st.OldestOpen = t.Oldest
		}
	}
	rows, err := q.Query(ctx, `SELECT event_type, error_class, count(*) FROM dead_letters
		WHERE consumer_group = $1 AND status = 'open' GROUP BY event_type, error_class ORDER BY count(*) DESC, event_type, error_class`, s.group)
	if err == nil {
		st.ByType, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TypeStats])
	}
	if err != nil {
		return Stats{}, postgres.Classify(fmt.Errorf("count dead letters: %w", err))
	}
	if st.Parked, err = s.parked(ctx, q); err != nil {
		return Stats{}, err
	}
	return st, nil
}

func (s *Store) byTopic(ctx context.Context, q postgres.Querier) ([]TopicStats, error) {
	rows, err := q.Query(ctx, `SELECT topic, count(*) FILTER (WHERE status = 'open'), count(*) FILTER (WHERE status = 'resubmitted'),
			min(created_at) FILTER (WHERE status = 'open')
		FROM dead_letters WHERE consumer_group = $1 AND status IN ('open', 'resubmitted') GROUP BY topic ORDER BY topic`, s.group)
	var all []TopicStats
	if err == nil {
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t TopicStats, err error) {
			var oldest *time.Time
			err = row.Scan(&t.Topic, &t.Open, &t.Resubmitted, &oldest)
			if oldest != nil {
				t.Oldest = *oldest
			}
			return t, err
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("count dead letters: %w", err))
	}
	return all, nil
}

func (s *Store) parked(ctx context.Context, q postgres.Querier) (p ParkedStats, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'retrying'), count(*) FILTER (WHERE state = 'dead'),
			count(*) FILTER (WHERE state = 'retrying' AND not_before < clock_timestamp() - make_interval(secs => $2)),
			(SELECT count(*) FROM parked_records WHERE consumer_group = $1)
		FROM parked_keys WHERE consumer_group = $1`, s.group, overdue.Seconds()).Scan(&p.Retrying, &p.Dead, &p.Overdue, &p.Records)
	if err != nil {
		return p, postgres.Classify(fmt.Errorf("count parked keys: %w", err))
	}
	return p, nil
}

// ParkedKey is a parked key and what it waits for.
type ParkedKey struct {
	Topic     string
	Key       []byte    // empty for records without key
	State     string    // "retrying" or "dead"
	Head      uuid.UUID // retrying: of its retry record; dead: of the dead letter
	EventType string
	Attempts  int
	NotBefore time.Time // of the next attempt of a key that is retrying
	LastError string
	ParkedAt  time.Time
	Followers int64
}

// ParkedKeys returns the keys that have been parked longest, at most limit. A limit of 0 or of
// more than MaxList means MaxList.
func (s *Store) ParkedKeys(ctx context.Context, q postgres.Querier, limit int) ([]ParkedKey, error) {
	return s.parkedKeys(ctx, q, nil, limit)
}

// ParkedOf returns what is parked under the key of a record, on all topics, as [Store.ParkedKeys]
// does: however many other keys are parked. A nil or empty key is that of records without key.
func (s *Store) ParkedOf(ctx context.Context, q postgres.Querier, key []byte, limit int) ([]ParkedKey, error) {
	return s.parkedKeys(ctx, q, []byte(KeyOf("", key).Key), limit)
}

// parkedKeys selects by a key as the table has it, or, with nil, all keys.
func (s *Store) parkedKeys(ctx context.Context, q postgres.Querier, key []byte, limit int) ([]ParkedKey, error) {
	if limit <= 0 || limit > MaxList {
		limit = MaxList
	}
	rows, err := q.Query(ctx, `SELECT topic, key, state, head, event_type, attempts, not_before, last_error, parked_at,
			(SELECT count(*) FROM parked_records r WHERE (r.consumer_group, r.topic, r.key) = (k.consumer_group, k.topic, k.key))
		FROM parked_keys k WHERE consumer_group = $1 AND ($3::bytea IS NULL OR key = $3)
		ORDER BY parked_at, topic, key LIMIT $2`, s.group, limit, key)
	var all []ParkedKey
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ParkedKey])
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("list parked keys: %w", err))
	}
	return all, nil
}
