// Package eventstore keeps the domain events of event-sourced aggregates, one
// stream per aggregate, in Postgres.
//
// It guarantees, by constraints of the database and not by this code, that the
// versions of a stream are 1, 2, 3, … without gaps or repetitions: the primary
// key (stream, version) admits each version once, and a foreign key from each
// version to the one before it admits none without its predecessor. A trigger
// refuses to change or delete events. Two writers that append to the same
// version are serialised by the primary key: the second waits, then fails with
// errs.Conflict when the first commits.
//
// There is no order across streams, and no subscription: publish through the
// outbox, in the same transaction. Superusers can disable the trigger.
package eventstore

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of the tables events and snapshots.
func Component() postgres.Component {
	return postgres.Component{Name: "eventstore", FS: migrations, Grants: []postgres.Grant{
		{Table: "events", App: "SELECT, INSERT"},
		{Table: "snapshots", App: "SELECT, INSERT, UPDATE"},
	}}
}

// Record is a stored event. The database creates it; it never changes.
type Record struct {
	StreamID   string
	Version    int64 // 1 for the stream's first event
	Type       string
	Data       json.RawMessage // as jsonb: key order and spacing are not kept
	Metadata   json.RawMessage
	RecordedAt time.Time // microseconds, UTC; within a stream it follows the versions as far as the server's clock does
}

// NewRecord is an event to append.
type NewRecord struct {
	Type     string
	Data     json.RawMessage
	Metadata json.RawMessage // empty means {}
}

// Append adds the events to the stream, which must be at version expected (0:
// it does not exist yet), and returns them as stored. When the stream is at
// another version it fails with errs.Conflict, and the transaction cannot go on:
// roll back, load again, decide again.
func Append(ctx context.Context, tx pgx.Tx, streamID string, expected int64, recs []NewRecord) ([]Record, error) {
	if expected < 0 {
		return nil, errs.New(errs.Invalid, "append to stream %s: expected version %d is negative", streamID, expected)
	}
	if len(recs) == 0 {
		return nil, nil
	}
	types := make([]string, len(recs))
	data := make([]string, len(recs))
	metadata := make([]string, len(recs))
	for i, r := range recs {
		if r.Type == "" || !json.Valid(r.Data) {
			return nil, errs.New(errs.Invalid, "append to stream %s: event %d has no type or its data is not JSON", streamID, i+1)
		}
		types[i], data[i], metadata[i] = r.Type, string(r.Data), "{}"
		if len(r.Metadata) > 0 {
			metadata[i] = string(r.Metadata)
		}
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO events (stream_id, version, event_type, data, metadata)
		SELECT $1, $2 + n, type, data::jsonb, metadata::jsonb
		FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS e (type, data, metadata, n)
		ORDER BY n
		RETURNING `+columns, streamID, expected, types, data, metadata)
	var stored []Record
	if err == nil {
		stored, err = pgx.CollectRows(rows, scan)
	}
	if state := postgres.State(err); state == "23505" || state == "23503" {
		return nil, errs.New(errs.Conflict, "append to stream %s: it is not at version %d: %w", streamID, expected, err)
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("append to stream %s: %w", streamID, err))
	}
	return stored, nil
}

// Load returns the events of the stream after the version given, in order; 0
// gives all. A stream that does not exist is empty.
func Load(ctx context.Context, q postgres.Querier, streamID string, after int64) ([]Record, error) {
	return load(ctx, q, streamID, `version > $2`, after)
}

// LoadUntilVersion returns the events of the stream up to and including the
// version: the aggregate as it was then.
func LoadUntilVersion(ctx context.Context, q postgres.Querier, streamID string, version int64) ([]Record, error) {
	return load(ctx, q, streamID, `version <= $2`, version)
}

// LoadAt returns the events of the stream that were recorded at the instant or
// before: the aggregate as it was at that time (a temporal query).
func LoadAt(ctx context.Context, q postgres.Querier, streamID string, at time.Time) ([]Record, error) {
	// Up to a version rather than by the time of each row: whatever the
	// server's clock did, the answer is a beginning of the stream.
	return load(ctx, q, streamID, `version <= (SELECT max(version) FROM events WHERE stream_id = $1 AND recorded_at <= $2)`, at)
}

// StreamIDs returns the ids of the streams that follow after in byte order, at
// most limit; after "" starts at the beginning. It is for tools that go through
// everything: the last id of a page is the cursor of the next.
func StreamIDs(ctx context.Context, q postgres.Querier, after string, limit int) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT stream_id FROM events WHERE version = 1 AND stream_id > $1 ORDER BY stream_id LIMIT $2`, after, limit)
	var ids []string
	if err == nil {
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("list streams: %w", err))
	}
	return ids, nil
}

const columns = `stream_id, version, event_type, data, metadata, recorded_at`

func load(ctx context.Context, q postgres.Querier, streamID, condition string, arg any) ([]Record, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM events WHERE stream_id = $1 AND `+condition+` ORDER BY version`, streamID, arg)
	var recs []Record
	if err == nil {
		recs, err = pgx.CollectRows(rows, scan)
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("load stream %s: %w", streamID, err))
	}
	return recs, nil
}

func scan(row pgx.CollectableRow) (r Record, err error) {
	err = row.Scan(&r.StreamID, &r.Version, &r.Type, &r.Data, &r.Metadata, &r.RecordedAt)
	r.RecordedAt = r.RecordedAt.UTC()
	return r, err
}
