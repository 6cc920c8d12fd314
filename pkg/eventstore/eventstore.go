// Package eventstore stores the domain events of event-sourced aggregates in Postgres, one stream
// per aggregate.
//
// It guarantees, by constraints of the database and not by this code, that the versions of a stream
// are 1, 2, 3, … without gaps or repetitions. The primary key (stream, version) admits each version
// once. A foreign key from each version to the one before it admits no version without its
// predecessor. A trigger refuses to change or delete events. Two writers that append to the same
// version are serialised by the primary key: the second waits, then fails with errs.Conflict when
// the first commits.
//
// [States] folds streams into the states of aggregates. It begins with snapshots, which it checks and
// writes behind the work. A snapshot that cannot be used costs time and changes no answer.
//
// Across streams there is the order of positions, which [Reader] follows for read models in the same
// database. For other services publish through the outbox, in the same transaction. Superusers can
// disable the trigger.
package eventstore

import (
	"cmp"
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

// Component returns the migrations of the tables events, stream_snapshots, streams, and snapshots,
// which only processes of the release before use.
func Component() postgres.Component {
	return postgres.Component{Name: "eventstore", FS: migrations, Grants: []postgres.Grant{
		{Table: "events", App: "SELECT, INSERT"},
		{Table: "snapshots", App: "SELECT, INSERT, UPDATE"},
		{Table: "stream_snapshots", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "streams", App: "SELECT, INSERT, UPDATE"}, // UPDATE to lock the row
		{Table: "events_position_seq", App: "SELECT, USAGE"},
		{Table: "event_readers", App: "SELECT, INSERT, UPDATE"},
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

// Append adds the events to the stream and returns them as stored. The stream must be at version
// expected (0: it does not exist yet). When it is at another version, Append fails with
// errs.Conflict, and the transaction cannot go on: roll back, load again, decide again.
func Append(ctx context.Context, tx pgx.Tx, streamID string, expected int64, recs []NewRecord) ([]Record, error) {
	rows, err := columnsOf(Appended{streamID, expected, recs})
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	inserted, err := tx.Query(ctx, insertEvents+` RETURNING `+ofStream, rows.streams, rows.versions, rows.types, rows.data, rows.metadata)
	var stored []Record
	if err == nil {
		stored, err = collect(inserted, streamID)
	}
	return stored, rows.failed(err)
}

// insertEvents inserts in the order of its arguments: an event follows its predecessor.
const insertEvents = `
	INSERT INTO events (stream_id, version, event_type, data, metadata)
	SELECT id, version, type, data::jsonb, metadata::jsonb
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS e (id, version, type, data, metadata, n)
	ORDER BY n`

// rows is events to insert, by columns.
type rows struct {
	streams  []string
	versions []int64
	types    []string
	data     []string
	metadata []string
}

func columnsOf(all ...Appended) (r rows, err error) {
	for _, a := range all {
		if a.Expected < 0 {
			return r, errs.New(errs.Invalid, "append to stream %s: expected version %d is negative", a.StreamID, a.Expected)
		}
		for i, rec := range a.Records {
			if rec.Type == "" || !json.Valid(rec.Data) {
				return r, errs.New(errs.Invalid, "append to stream %s: event %d has no type or its data is not JSON", a.StreamID, i+1)
			}
			r.streams, r.versions = append(r.streams, a.StreamID), append(r.versions, a.Expected+1+int64(i))
			r.types, r.data = append(r.types, rec.Type), append(r.data, string(rec.Data))
			r.metadata = append(r.metadata, cmp.Or(string(rec.Metadata), "{}"))
		}
	}
	return r, nil
}

// failed returns the error of an insert with its kind.
func (r rows) failed(err error) error {
	if err == nil {
		return nil
	}
	what := "stream " + r.streams[0]
	if last := r.streams[len(r.streams)-1]; last != r.streams[0] {
		what = "several streams, from " + r.streams[0] + " to " + last
	}
	if state := postgres.State(err); state == "23505" || state == "23503" {
		return errs.New(errs.Conflict, "append to %s: not at the expected version %d: %w", what, r.versions[0]-1, err)
	}
	return postgres.Classify(fmt.Errorf("append to %s: %w", what, err))
}

// Load returns the events of the stream after the given version, in order. 0 returns all. A stream
// that does not exist is empty.
func Load(ctx context.Context, q postgres.Querier, streamID string, after int64) ([]Record, error) {
	return load(ctx, q, streamID, `version > $2`, after, 0)
}

// LoadPage returns at most limit events of the stream after the given version, in order.
func LoadPage(ctx context.Context, q postgres.Querier, streamID string, after int64, limit int) ([]Record, error) {
	return load(ctx, q, streamID, `version > $2`, after, limit)
}

// LoadUntilVersion returns the events of the stream up to and including the version: the aggregate
// as it was then.
func LoadUntilVersion(ctx context.Context, q postgres.Querier, streamID string, version int64) ([]Record, error) {
	return load(ctx, q, streamID, `version <= $2`, version, 0)
}

// LoadAt returns the events of the stream up to the version that it had at the instant; see
// [VersionAt].
func LoadAt(ctx context.Context, q postgres.Querier, streamID string, at time.Time) ([]Record, error) {
	version, err := VersionAt(ctx, q, streamID, at)
	if err != nil {
		return nil, err
	}
	return LoadUntilVersion(ctx, q, streamID, version)
}

// StreamIDs returns the ids of the streams after the id after in byte order, at most limit. An
// after of "" starts at the beginning. It is for tools that read all streams: the last id of a page
// is the cursor of the next.
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

const ofStream = `version, event_type, data, metadata, recorded_at`

// load returns events of the stream; a limit of 0 is none.
func load(ctx context.Context, q postgres.Querier, streamID, condition string, arg any, limit int) ([]Record, error) {
	rows, err := q.Query(ctx, `SELECT `+ofStream+` FROM events WHERE stream_id = $1 AND `+condition+` ORDER BY version LIMIT NULLIF($3, 0)`, streamID, arg, limit)
	var recs []Record
	if err == nil {
		recs, err = collect(rows, streamID)
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("load stream %s: %w", streamID, err))
	}
	return recs, nil
}

// collect reads rows of [ofStream].
func collect(rows pgx.Rows, streamID string) (recs []Record, err error) {
	r := Record{StreamID: streamID}
	_, err = pgx.ForEachRow(rows, r.targets(), func() error {
		r.RecordedAt = r.RecordedAt.UTC()
		recs = append(recs, r)
		return nil
	})
	return recs, err
}

// targets are where a row of [ofStream] is scanned to. JSON arrives as new bytes in every row; as a
// json.RawMessage pgx would parse it.
func (r *Record) targets() []any {
	return []any{&r.Version, &r.Type, (*[]byte)(&r.Data), (*[]byte)(&r.Metadata), &r.RecordedAt}
}
