package eventstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// Latest is the version of [LoadTails] for the present state.
const Latest = int64(math.MaxInt64)

// Tail is the snapshot of a stream, if it has one that can be used, with the events after it.
type Tail struct {
	Snapshot *Snapshot
	Records  []Record

	// Unusable is why the snapshot that was found cannot be used; "" if it can, or if there is none.
	// UnusableAt is its version. Records has all events of the stream then.
	Unusable   Reason
	UnusableAt int64
}

// LoadTails returns the nearest snapshot of each stream at or before the version until, with the
// events after it up to until. Only the rows that it returns are read. It uses snapshots of the
// given format whose checksum is right. Without one, it returns all events up to until. Streams
// without events are missing in the map.
//
// It is one statement. Streams with a snapshot that is corrupt take a second one.
func LoadTails(ctx context.Context, q postgres.Querier, format int, until int64, streamIDs ...string) (map[string]Tail, error) {
	tails, err := loadTails(ctx, q, format, until, true, streamIDs)
	if err != nil {
		return nil, err
	}
	var again []string
	for id, tail := range tails {
		if tail.Unusable == Corrupt {
			again = append(again, id)
		}
	}
	if len(again) == 0 {
		return tails, nil
	}
	whole, err := loadTails(ctx, q, format, until, false, again)
	if err != nil {
		return nil, err
	}
	for id, all := range whole {
		all.Unusable, all.UnusableAt = Corrupt, tails[id].UnusableAt
		tails[id] = all
	}
	return tails, nil
}

// tailsQuery reads per stream at most one snapshot: the latest of the format, or else the latest of
// another format, which is not used but reported. The events are read from the snapshot on, by the
// primary key: OFFSET 0 keeps the planner from reading whole streams to join them.
const tailsQuery = `
	WITH base AS MATERIALIZED (
		SELECT w.id, coalesce(own.version, other.version) AS version, coalesce(own.format, other.format) AS format, own.state, own.checksum
		FROM unnest($1::text[]) AS w (id)
		LEFT JOIN LATERAL (
			SELECT version, format, state, checksum FROM stream_snapshots
			WHERE stream_id = w.id AND format = $2 AND version <= $3 AND $4
			ORDER BY version DESC LIMIT 1
		) AS own ON true
		LEFT JOIN LATERAL (
			SELECT version, format FROM stream_snapshots
			WHERE stream_id = w.id AND format <> $2 AND version <= $3 AND $4 AND own.version IS NULL
			ORDER BY version DESC LIMIT 1
		) AS other ON true
	)
	SELECT id, format, checksum, state, version, '', '{}'::jsonb, '{}'::jsonb, now() FROM base WHERE version IS NOT NULL
	UNION ALL
	SELECT b.id, 0, NULL, NULL, e.version, e.event_type, e.data, e.metadata, e.recorded_at
	FROM base b CROSS JOIN LATERAL (
		SELECT ` + ofStream + ` FROM events
		WHERE stream_id = b.id AND version <= $3 AND version > CASE WHEN b.format = $2 THEN b.version ELSE 0 END
		OFFSET 0
	) AS e
	ORDER BY 1, 5, 2 DESC`

func loadTails(ctx context.Context, q postgres.Querier, format int, until int64, snapshots bool, streamIDs []string) (map[string]Tail, error) {
	ids := slices.Clone(streamIDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	failed := func(err error) error {
		return postgres.Classify(fmt.Errorf("load %d streams: %w", len(ids), err))
	}
	rows, err := q.Query(ctx, tailsQuery, ids, format, until, snapshots)
	if err != nil {
		return nil, failed(err)
	}
	tails := map[string]Tail{}
	var r Record
	var of int
	var sum, state []byte
	_, err = pgx.ForEachRow(rows, append([]any{&r.StreamID, &of, &sum, &state}, r.targets()...), func() error {
		tail := tails[r.StreamID]
		if of == 0 {
			r.RecordedAt = r.RecordedAt.UTC()
			tail.Records = append(tail.Records, r)
		} else {
			s := Snapshot{r.StreamID, r.Version, of, state}
			if tail.Unusable = s.unusable(format, sum); tail.Unusable == "" {
				tail.Snapshot = &s
			} else {
				tail.UnusableAt = s.Version
			}
		}
		tails[r.StreamID] = tail
		return nil
	})
	if err != nil {
		return nil, failed(err)
	}
	return tails, nil
}

// VersionAt returns the version that the stream had at an instant: the greatest version that was
// recorded then or before. It is 0 when none was, and for a stream that does not exist.
//
// Where the server's clock stepped back within the stream, versions before the returned one may have
// later times. So an event that was recorded by the instant is never left out, an instant at or after
// the last event's time always has the last version, and a later instant never has an earlier
// version, whatever the clock did.
func VersionAt(ctx context.Context, q postgres.Querier, streamID string, at time.Time) (version int64, err error) {
	if err = q.QueryRow(ctx, versionAt, streamID, at).Scan(&version); err != nil {
		return 0, postgres.Classify(fmt.Errorf("find the version of stream %s at %s: %w", streamID, at.Format(time.RFC3339Nano), err))
	}
	return version, nil
}

// versionAt goes back from the end of the stream by hundreds of versions, with one look into the index
// events_by_hundred per hundred, to the first one that has an event which is old enough. Of that hundred
// it reads the rows. The first hundred has no entries there; its rows are read when no later one is found.
// The full ORDER BYs keep the planner to the two indexes, whatever its statistics are.
const versionAt = `
	WITH RECURSIVE hundreds (n, found) AS (
		SELECT (max(version) - 1) / 100 + 1, false FROM events WHERE stream_id = $1
		UNION ALL
		SELECT h.n - 1, (
			SELECT e.recorded_at FROM events e WHERE e.stream_id = $1 AND e.version > 100 AND (e.version - 1) / 100 = h.n - 1
			ORDER BY e.stream_id, (e.version - 1) / 100, e.recorded_at LIMIT 1) <= $2
		FROM hundreds h WHERE NOT h.found AND h.n > 1
	)
	SELECT coalesce((
		SELECT version FROM events
		WHERE stream_id = $1 AND recorded_at <= $2 AND version <= (SELECT min(n) + 1 FROM hundreds) * 100
		ORDER BY stream_id DESC, version DESC LIMIT 1), 0)`

// Began returns the first instant at which [VersionAt] returns a version; ok is false when the stream
// does not exist.
func Began(ctx context.Context, q postgres.Querier, streamID string) (at time.Time, ok bool, err error) {
	var first *time.Time
	if err = q.QueryRow(ctx, `SELECT min(recorded_at) FROM events WHERE stream_id = $1`, streamID).Scan(&first); err != nil {
		return at, false, postgres.Classify(fmt.Errorf("find the begin of stream %s: %w", streamID, err))
	}
	if first == nil {
		return at, false, nil
	}
	return first.UTC(), true, nil
}
