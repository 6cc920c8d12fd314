// Package position records how far a consumer group has handled each partition of its topics, in
// the same transaction as the effect. It is the receiver's memory for read models: one row per
// partition, where package inbox has one row per message.
//
// It guarantees one effect per (consumer group, record), if the caller does all its writes in the
// transaction in which [Advance] returned a position at or below the record's offset, and calls
// Advance for records of a partition in offset order. Position and effect commit or roll back
// together. The partition's row serialises two owners: the second waits until the first ends, and
// then sees where the first left it. A position never goes back.
//
// A topic that was deleted and created again has other records at the same offsets. Positions are
// therefore stored by the topic's id.
//
// It guarantees nothing about an event that lies in Kafka more than once, as when a relay published
// it again. The effect has to recognise it, by a version per key or by one row per fact. Nor does
// it notice when a partition loses the end of its log under the same topic id (an unclean leader
// election): the records that then take the lost offsets count as handled. Errors are classified by
// package postgres; while the database is down they are Transient.
package position

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// name is the component's.
const name = "positions"

// Component returns the migrations of the table consumer_positions.
func Component() postgres.Component {
	return postgres.Component{
		Name: name, FS: migrations,
		Grants: []postgres.Grant{{Table: "consumer_positions", App: "SELECT, INSERT, UPDATE"}},
	}
}

// Partition is a partition of one incarnation of a topic.
type Partition struct {
	Topic   string    // for operators who read the table
	TopicID uuid.UUID // a topic that is created again has another one
	Number  int32
}

// Move is how far one transaction moves a position.
type Move struct {
	Partition
	From int64 // the position before; without one, the offset of the first record that the transaction handles
	To   int64 // the offset behind the last record that the transaction handles
	// Received reports that the move passes records that the group has receipts of, so that their effect is
	// not made again: they failed, or an earlier release handled them, which stored no positions.
	Received bool
}

// Advance moves the group's positions to the given offsets, each the offset behind the last record
// that the transaction handles. It returns the positions before: records below them had their
// effect. A partition without a position is missing in the result. A position that is already
// further on stays where it is. Advance waits for transactions that move the same positions, and
// locks the rows in one order, so that overlapping batches do not deadlock.
func Advance(ctx context.Context, tx pgx.Tx, group string, to map[Partition]int64) (before map[Partition]int64, err error) {
	before = make(map[Partition]int64, len(to))
	if len(to) == 0 {
		return before, nil
	}
	sorted := make([]Partition, 0, len(to))
	for p := range to {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, func(a, b Partition) int {
		return cmp.Or(slices.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Number, b.Number))
	})
	n := len(sorted)
	topics, ids, numbers, offsets := make([]string, n), make([]uuid.UUID, n), make([]int32, n), make([]int64, n)
	at := map[Partition]Partition{} // without the name, which does not identify
	for i, p := range sorted {
		topics[i], ids[i], numbers[i], offsets[i] = p.Topic, p.TopicID, p.Number, to[p]
		at[Partition{TopicID: p.TopicID, Number: p.Number}] = p
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO consumer_positions AS p (consumer_group, topic, topic_id, topic_partition, next_offset)
		SELECT $1, n.topic, n.id, n.number, n.next
		FROM unnest($2::text[], $3::uuid[], $4::int[], $5::bigint[]) WITH ORDINALITY AS n (topic, id, number, next, i)
		ORDER BY n.i
		ON CONFLICT (consumer_group, topic_id, topic_partition) DO UPDATE SET
			next_offset = greatest(p.next_offset, excluded.next_offset), previous_offset = p.next_offset, moved_at = now()
		RETURNING topic_id, topic_partition, previous_offset`, group, topics, ids, numbers, offsets)
	if err == nil {
		var found Partition
		var previous *int64 // NULL in a new row
		_, err = pgx.ForEachRow(rows, []any{&found.TopicID, &found.Number, &previous}, func() error {
			if previous != nil {
				before[at[found]] = *previous
			}
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("move positions: %w", err))
	}
	return before, nil
}

// Read returns the group's positions: the offsets behind the last records that had their effect.
func Read(ctx context.Context, q postgres.Querier, group string) (map[Partition]int64, error) {
	positions := map[Partition]int64{}
	rows, err := q.Query(ctx, `
		SELECT topic, topic_id, topic_partition, next_offset FROM consumer_positions WHERE consumer_group = $1`, group)
	if err == nil {
		var p Partition
		var next int64
		_, err = pgx.ForEachRow(rows, []any{&p.Topic, &p.TopicID, &p.Number, &next}, func() error {
			positions[p] = next
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read positions: %w", err))
	}
	return positions, nil
}
