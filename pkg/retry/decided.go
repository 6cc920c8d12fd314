package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Decision is what became of a record that the group gave up, for readers that meet the record
// again on its topic, which keeps the original bytes for ever.
type Decision struct {
	Open      string  // why no decision has been made yet; "" for a decision
	Discarded bool    // the record has no effect
	Record    *Record // the record that had its effect, repaired or original; nil for a discarded one
}

// Decisions returns the decisions about those of the records that the group has ever given up. The
// others are missing in the result. A record is identified by its place and its time, as in
// [Store.GivenUp].
func (s *Store) Decisions(ctx context.Context, q postgres.Querier, records []Record) (map[Place]Decision, error) {
	if len(records) == 0 {
		return nil, nil
	}
	of := make(map[Place]Record, len(records))
	// Records that follow each other are looked for as one range of offsets.
	type span struct{ first, last int64 }
	spans := map[Place]span{} // by the place of offset 0
	for _, r := range records {
		of[r.Place()] = r
		at := Place{Topic: r.Topic, Partition: r.Partition}
		s, known := spans[at]
		if !known {
			s = span{r.Offset, r.Offset}
		}
		spans[at] = span{min(s.first, r.Offset), max(s.last, r.Offset)}
	}
	var topics []string
	var partitions []int32
	var first, last []int64
	for at, s := range spans {
		topics, partitions = append(topics, at.Topic), append(partitions, at.Partition)
		first, last = append(first, s.first), append(last, s.last)
	}
	type row struct {
		place    Place
		at       *time.Time
		decision string
		letter   *uuid.UUID
	}
	rows, err := q.Query(ctx, `SELECT g.topic, g.record_partition, g.record_offset, g.record_time, g.decision, g.dead_letter FROM given_up g
		JOIN unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS r (topic, record_partition, first_offset, last_offset)
			ON r.topic = g.topic AND r.record_partition = g.record_partition AND g.record_offset BETWEEN r.first_offset AND r.last_offset
		WHERE g.consumer_group = $1`, s.group, topics, partitions, first, last)
	var found []row
	if err == nil {
		found, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (w row, err error) {
			err = r.Scan(&w.place.Topic, &w.place.Partition, &w.place.Offset, &w.at, &w.decision, &w.letter)
			return w, err
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for decisions about records: %w", err))
	}
	decisions := make(map[Place]Decision, len(found))
	for _, w := range found {
		r, asked := of[w.place]
		if !asked || w.at != nil && w.at.UnixMilli() != r.Time.UnixMilli() {
			continue // it lies between the records, or is of a topic that was created again since
		}
		if decisions[w.place], err = s.decision(ctx, q, r, w.decision, w.letter); err != nil {
			return nil, err
		}
	}
	return decisions, nil
}

func (s *Store) decision(ctx context.Context, q postgres.Querier, original Record, decision string, letter *uuid.UUID) (Decision, error) {
	switch {
	case decision == string(StatusDiscarded), decision == "skipped":
		return Decision{Discarded: true}, nil
	case decision != string(StatusResolved) && letter != nil:
		return Decision{Open: "dead letter " + letter.String() + " waits for a decision"}, nil
	case decision != string(StatusResolved):
		return Decision{Open: "it is to be skipped, and the consumer has not done so yet"}, nil
	}
	d, err := s.Get(ctx, q, *letter)
	switch {
	case err == nil:
		r := d.Effective()
		return Decision{Record: &r}, nil
	case errs.KindOf(err) == errs.NotFound: // pruned, so it was not repaired: see Store.Maintain
		return Decision{Record: &original}, nil
	default:
		return Decision{}, err
	}
}
