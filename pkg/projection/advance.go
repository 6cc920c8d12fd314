package projection

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/position"
)

// Advanced moves the positions of the attached versions together with those of the reader. It is for
// consumer.Config.Advanced. A version whose position is not where the reader's was misses records, and so
// does one that is moved over records of which the reader only has receipts: it is detached, and the
// filler closes the gap.
func (s *Set[F]) Advanced(ctx context.Context, tx pgx.Tx, moves []position.Move) error {
	if err := share(ctx, tx); err != nil {
		return err
	}
	names, numbers := []string{}, []int32{}
	for _, v := range s.versions {
		if !v.Base {
			names, numbers = append(names, v.Projection), append(numbers, int32(v.Number))
		}
	}
	if len(names) == 0 || len(moves) == 0 {
		return nil
	}
	moves = slices.SortedFunc(slices.Values(moves), func(a, b position.Move) int {
		return cmp.Or(slices.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Number, b.Number))
	})
	topics, ids, partitions, from, to, received := []string{}, []uuid.UUID{}, []int32{}, []int64{}, []int64{}, []bool{}
	for _, m := range moves {
		topics, ids, partitions = append(topics, m.Topic), append(ids, m.TopicID), append(partitions, m.Number)
		from, to, received = append(from, m.From), append(to, m.To), append(received, m.Received)
	}
	_, err := later(tx, "move the positions of the projections").Exec(ctx, `
		WITH moves AS (
			SELECT * FROM unnest($3::text[], $4::uuid[], $5::int[], $6::bigint[], $7::bigint[], $8::boolean[])
				AS m (topic, topic_id, topic_partition, from_offset, to_offset, received)
		), attached AS (
			SELECT v.projection, v.version, NOT EXISTS (
				SELECT FROM moves m LEFT JOIN projection_positions p ON p.projection = v.projection AND p.version = v.version
					AND p.topic_id = m.topic_id AND p.topic_partition = m.topic_partition
				WHERE coalesce(p.next_offset, 0) < CASE WHEN m.received THEN m.to_offset ELSE m.from_offset END) AS continues
			FROM projection_versions v JOIN unnest($1::text[], $2::int[]) AS k (projection, version) USING (projection, version)
			WHERE v.attached
		), gaps AS (
			UPDATE projection_versions v SET attached = false, state = CASE v.state WHEN 'live' THEN 'live' ELSE 'filling' END
			FROM attached a WHERE a.projection = v.projection AND a.version = v.version AND NOT a.continues
		)
		INSERT INTO projection_positions AS p (projection, version, topic_id, topic_partition, topic, next_offset)
		SELECT a.projection, a.version, m.topic_id, m.topic_partition, m.topic, m.to_offset
		FROM attached a CROSS JOIN moves m WHERE a.continues
		ORDER BY a.projection, a.version, m.topic_id, m.topic_partition
		ON CONFLICT (projection, version, topic_id, topic_partition) DO UPDATE SET next_offset = greatest(p.next_offset, excluded.next_offset)`,
		names, numbers, topics, ids, partitions, from, to, received)
	return err
}
