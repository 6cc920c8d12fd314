package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// Lock locks the streams that exist, in the order of their ids, until the transaction ends. Streams
// without events are not locked: an append to such a stream fails if another writer was faster.
//
// A writer that locks, then loads, then appends meets no conflict with other such writers. Two
// writers that lock the same streams cannot deadlock, whatever the order of streamIDs. The statement
// runs [postgres.Later]: before anything that is read afterwards.
func Lock(ctx context.Context, tx pgx.Tx, streamIDs ...string) error {
	ids := slices.Clone(streamIDs)
	slices.Sort(ids)
	// The update never happens, but the row that is in conflict is locked before the condition is
	// evaluated. So one statement creates missing rows and locks existing ones, in order.
	failed := func(err error) error {
		return postgres.Classify(fmt.Errorf("lock %d streams: %w", len(ids), err))
	}
	_, err := postgres.Later(tx, failed).Exec(ctx, `
		INSERT INTO streams (stream_id)
		SELECT w.id FROM unnest($1::text[]) WITH ORDINALITY AS w (id, n)
		WHERE EXISTS (SELECT FROM events WHERE stream_id = w.id AND version = 1)
		ORDER BY w.n
		ON CONFLICT (stream_id) DO UPDATE SET stream_id = excluded.stream_id WHERE false`, slices.Compact(ids))
	return err
}

// Mark is a part of the metadata that an event of a stream may have.
type Mark struct {
	StreamID string
	Metadata json.RawMessage // a JSON object
}

// Marked reports for each of the marks whether its stream has an event whose metadata contains it
// (the operator @> of jsonb). An event handler asks for the id of the event that it handles, so that
// it finds what it recorded before the inbox forgot the event.
func Marked(ctx context.Context, q postgres.Querier, marks ...Mark) ([]bool, error) {
	streams, metadata := make([]string, len(marks)), make([]string, len(marks))
	for i, m := range marks {
		streams[i], metadata[i] = m.StreamID, string(m.Metadata)
	}
	rows, err := q.Query(ctx, `
		SELECT EXISTS (SELECT FROM events e WHERE e.stream_id = w.id AND e.metadata @> w.metadata::jsonb)
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (id, metadata, n) ORDER BY w.n`, streams, metadata)
	var marked []bool
	if err == nil {
		marked, err = pgx.CollectRows(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for events of %d streams: %w", len(marks), err))
	}
	return marked, nil
}

// Appended is the events that one writer appends to one stream; see [Append].
type Appended struct {
	StreamID string
	Expected int64
	Records  []NewRecord
}

// AppendAll is [Append] for several streams, by one statement. All of it is appended or nothing. The
// statement runs [postgres.Later].
func AppendAll(ctx context.Context, q postgres.Querier, all ...Appended) error {
	rows, err := columnsOf(all...)
	if err != nil || len(rows.streams) == 0 {
		return err
	}
	_, err = postgres.Later(q, rows.failed).Exec(ctx, insertEvents, rows.streams, rows.versions, rows.types, rows.data, rows.metadata)
	return err
}
