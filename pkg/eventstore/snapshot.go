package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Snapshot is the state of a stream after a version, kept so that loading need
// not replay everything. It is a cache: deleting it changes no answer.
type Snapshot struct {
	StreamID string
	Version  int64
	State    json.RawMessage
}

// SaveSnapshot keeps the snapshot unless a later one of the stream is there
// already. It fails with errs.Conflict when the stream has no such version.
func SaveSnapshot(ctx context.Context, q postgres.Querier, s Snapshot) error {
	if !json.Valid(s.State) {
		return errs.New(errs.Invalid, "save snapshot of stream %s: the state is not JSON", s.StreamID)
	}
	_, err := q.Exec(ctx, `
		INSERT INTO snapshots (stream_id, version, state) VALUES ($1, $2, $3::text::jsonb)
		ON CONFLICT (stream_id) DO UPDATE
		SET version = excluded.version, state = excluded.state, taken_at = excluded.taken_at
		WHERE snapshots.version < excluded.version`, s.StreamID, s.Version, string(s.State))
	if err != nil {
		return postgres.Classify(fmt.Errorf("save snapshot of stream %s: %w", s.StreamID, err))
	}
	return nil
}

// LoadSnapshot returns the stream's snapshot; ok is false when there is none.
// The state is the snapshot plus the events that Load returns after its
// version.
func LoadSnapshot(ctx context.Context, q postgres.Querier, streamID string) (s Snapshot, ok bool, err error) {
	err = q.QueryRow(ctx, `SELECT stream_id, version, state FROM snapshots WHERE stream_id = $1`, streamID).
		Scan(&s.StreamID, &s.Version, &s.State)
	if errors.Is(err, pgx.ErrNoRows) {
		return Snapshot{}, false, nil
	}
	if err != nil {
		return Snapshot{}, false, postgres.Classify(fmt.Errorf("load snapshot of stream %s: %w", streamID, err))
	}
	return s, true, nil
}
