package projection

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// State is what becomes of a version.
//
//	waiting ──rebuild──▶ filling ──caught up──▶ following ◀──switch──▶ live
//	                      │    ▲                    │
//	                      ▼    └──── a gap ─────────┤
//	                    failed ◀─too many refusals──┤
//	                                                └──drop──▶ dropped ──rebuild──▶ filling
type State string

const (
	Waiting   State = "waiting"   // declared, and not asked for
	Filling   State = "filling"   // the filler reads the topics
	Following State = "following" // the reader feeds it, and no query reads it
	Live      State = "live"      // queries read it; detached while it catches up with a gap
	Failed    State = "failed"    // it cannot be filled, or lists too much; a rebuild begins again
	Dropped   State = "dropped"   // no one feeds it, and its tables are emptied
)

// partition identifies a partition of one incarnation of a topic.
type partition struct {
	topic  uuid.UUID
	number int32
}

// positions of the group's reader, or of a version, by partition; the offset behind the last record.
type positions map[partition]int64

// behind returns how many offsets p is behind the others, of the partitions that count.
func (p positions) behind(others positions, counts map[partition]bool) (left int64) {
	for at, offset := range others {
		if counts[at] {
			left += max(offset-p[at], 0)
		}
	}
	return left
}

// ofReader returns how far the group has handled its topics.
func ofReader(ctx context.Context, q postgres.Querier, group string) (positions, error) {
	return readPositions(ctx, q, `SELECT topic_id, topic_partition, next_offset FROM public.consumer_positions WHERE consumer_group = $1`, group)
}

// ofVersion returns what a version contains.
func ofVersion(ctx context.Context, q postgres.Querier, v id) (positions, error) {
	return readPositions(ctx, q, `SELECT topic_id, topic_partition, next_offset FROM public.projection_positions
		WHERE projection = $1 AND version = $2`, v.projection, v.number)
}

func readPositions(ctx context.Context, q postgres.Querier, sql string, args ...any) (positions, error) {
	rows, err := q.Query(ctx, sql, args...)
	p := positions{}
	if err == nil {
		var at partition
		var offset int64
		_, err = pgx.ForEachRow(rows, []any{&at.topic, &at.number, &offset}, func() error {
			p[at] = offset
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read positions: %w", err))
	}
	return p, nil
}

// Failure is a record that a version has passed and does not contain.
type Failure struct {
	retry.Place
	Reason string

	event uuid.UUID // whose fact was noted before it failed; uuid.Nil: none was
	key   string
}

// maxReason bounds a reason, in bytes; it only explains.
const maxReason = 2000

func reasonOf(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", "\uFFFD"), "\uFFFD")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// failuresOf returns events that failed in a fold. Their facts were noted.
func failuresOf[F any](events []failure[F]) []Failure {
	var all []Failure
	for _, f := range events {
		e := f.event
		all = append(all, Failure{Place: retry.Place{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset}, Reason: reasonOf(f.err), event: e.ID, key: e.Key})
	}
	return all
}

// list keeps records for later. A fact of theirs that was noted is taken back.
func list(ctx context.Context, tx pgx.Tx, v id, failures ...Failure) error {
	if len(failures) == 0 {
		return nil
	}
	topics, partitions, offsets, reasons := []string{}, []int32{}, []int64{}, []string{}
	keys, events := []string{}, []uuid.UUID{}
	for _, f := range failures {
		topics, partitions, offsets = append(topics, f.Topic), append(partitions, f.Partition), append(offsets, f.Offset)
		reasons = append(reasons, f.Reason)
		if f.event != uuid.Nil {
			keys, events = append(keys, f.key), append(events, f.event)
		}
	}
	if _, err := later(tx, "list what failed").Exec(ctx, `
		INSERT INTO public.projection_failures (projection, version, topic, record_partition, record_offset, reason)
		SELECT $1, $2, n.* FROM unnest($3::text[], $4::int[], $5::bigint[], $6::text[]) AS n
		ON CONFLICT (projection, version, topic, record_partition, record_offset) DO UPDATE SET reason = excluded.reason, failed_at = excluded.failed_at`,
		v.projection, v.number, topics, partitions, offsets, reasons); err != nil {
		return err
	}
	if len(events) == 0 {
		return nil
	}
	_, err := later(tx, "take back facts").Exec(ctx, `
		DELETE FROM public.projection_facts f USING unnest($3::text[], $4::uuid[]) AS n (key, event_id)
		WHERE f.projection = $1 AND f.version = $2 AND f.event_id = n.event_id AND f.key = n.key`,
		v.projection, v.number, keys, events)
	return err
}
