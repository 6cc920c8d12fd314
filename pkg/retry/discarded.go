package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// Place is where a record lies in Kafka.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Place returns where the record lies.
func (r Record) Place() Place { return Place{r.Topic, r.Partition, r.Offset} }

// GivenUp returns which of the records the group has ever given up, whatever was decided about them
// since. It reads only the place and time of the records. Such a record is not handled when it is
// read again: its dead letter waits for an operator, or had its effect, or an operator decided that
// it has none. The inbox forgets such records in time; this table does not.
//
// Before a call to the outside world the result is only a look. What the transaction finds decides.
func (s *Store) GivenUp(ctx context.Context, q postgres.Querier, records []Record) (map[Place]bool, error) {
	given := map[Place]bool{}
	if len(records) == 0 {
		return given, nil
	}
	times := make(map[Place]time.Time, len(records))
	topics, partitions, offsets := make([]string, len(records)), make([]int32, len(records)), make([]int64, len(records))
	for i, r := range records {
		topics[i], partitions[i], offsets[i] = r.Topic, r.Partition, r.Offset
		times[r.Place()] = r.Time
	}
	rows, err := q.Query(ctx, `SELECT g.topic, g.record_partition, g.record_offset, g.record_time FROM given_up g
		JOIN unnest($2::text[], $3::int[], $4::bigint[]) AS r (topic, record_partition, record_offset)
			USING (topic, record_partition, record_offset)
		WHERE g.consumer_group = $1 AND g.record_time IS NOT NULL`, s.group, topics, partitions, offsets)
	if err == nil {
		var p Place
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&p.Topic, &p.Partition, &p.Offset, &at}, func() error {
			// Kafka stores milliseconds.
			given[p] = given[p] || at.UnixMilli() == times[p].UnixMilli()
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for records given up: %w", err))
	}
	return given, nil
}

// giveUp stores the place of a new dead letter. It replaces a record that had the same place in a
// topic that was created again since.
func (s *Store) giveUp(ctx context.Context, tx pgx.Tx, id uuid.UUID, l Letter) error {
	var key []byte
	if l.Parks {
		key = []byte(l.ParkedKey().Key)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO given_up (consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (consumer_group, topic, record_partition, record_offset)
			DO UPDATE SET record_time = excluded.record_time, key = excluded.key, dead_letter = excluded.dead_letter, decision = '',
				asked_at = NULL, skipped_at = NULL`,
		s.group, l.Topic, l.Partition, l.Offset, l.Time, key, id)
	if err != nil {
		return postgres.Classify(fmt.Errorf("note where the dead letter lies: %w", err))
	}
	return nil
}

// decide stores the decision about a dead letter, so that it remains when the dead letter is
// pruned.
func (s *Store) decide(ctx context.Context, tx pgx.Tx, id uuid.UUID, status Status) error {
	_, err := tx.Exec(ctx, `
		UPDATE given_up g SET decision = $2 FROM dead_letters d
		WHERE d.id = $1 AND g.dead_letter = d.id AND (g.consumer_group, g.topic, g.record_partition, g.record_offset)
			= (d.consumer_group, d.topic, d.record_partition, d.record_offset)`, id, string(status))
	if err != nil {
		return postgres.Classify(fmt.Errorf("note what was decided about the dead letter: %w", err))
	}
	return nil
}
