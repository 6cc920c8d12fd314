package eventstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Snapshot is the state of a stream after a version, stored so that loading need not replay all
// events. It is a cache: deleting it changes no answer. A stream may have several.
type Snapshot struct {
	StreamID string
	Version  int64
	// Format is the version of State's form and of the rules that fold events into it, from 1. A
	// program changes the number when it changes either. A reader uses snapshots of its own format
	// only.
	Format int
	State  json.RawMessage
}

// Checksum returns the checksum that is stored with the snapshot: SHA-256 of the stream's id, the
// format, the version and the bytes of the state. So it also recognises a row that was copied to
// another stream or version. It recognises accidents. Whoever can write the table can compute it.
func (s Snapshot) Checksum() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(s.StreamID)))
	b = append(b, s.StreamID...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Format))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Version))
	sum := sha256.Sum256(append(b, s.State...))
	return sum[:]
}

// Reason is why a snapshot cannot be used.
type Reason string

// The reasons.
const (
	Corrupt     Reason = "corrupt"      // the checksum is not that of the row
	OlderFormat Reason = "older_format" // an earlier release wrote it, and there is none of this format
	NewerFormat Reason = "newer_format" // a later release wrote it, and there is none of this format
	Unreadable  Reason = "unreadable"   // the aggregate cannot read the state
)

// unusable returns why a program of the given format cannot use the row; "" if it can.
func (s Snapshot) unusable(format int, checksum []byte) Reason {
	switch {
	case s.Format < format:
		return OlderFormat
	case s.Format > format:
		return NewerFormat
	case !bytes.Equal(s.Checksum(), checksum):
		return Corrupt
	}
	return ""
}

// SaveSnapshots stores snapshots, by one statement. A row of the same stream, format and version is
// replaced if it differs. It fails with errs.Conflict when a stream does not have the version.
func SaveSnapshots(ctx context.Context, q postgres.Querier, snapshots ...Snapshot) error {
	if len(snapshots) == 0 {
		return nil
	}
	streams, versions, formats := make([]string, len(snapshots)), make([]int64, len(snapshots)), make([]int32, len(snapshots))
	states, sums := make([]string, len(snapshots)), make([][]byte, len(snapshots))
	for i, s := range snapshots {
		if !json.Valid(s.State) {
			return errs.New(errs.Invalid, "save snapshot of stream %s: the state is not JSON", s.StreamID)
		}
		streams[i], versions[i], formats[i], states[i], sums[i] = s.StreamID, s.Version, int32(s.Format), string(s.State), s.Checksum()
	}
	_, err := q.Exec(ctx, `
		INSERT INTO stream_snapshots AS s (stream_id, version, format, state, checksum)
		SELECT n.id, n.version, n.format, n.state::json, n.checksum
		FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::bytea[]) AS n (id, version, format, state, checksum)
		ORDER BY n.id, n.format, n.version
		ON CONFLICT (stream_id, format, version) DO UPDATE
		SET state = excluded.state, checksum = excluded.checksum, taken_at = excluded.taken_at
		WHERE s.checksum <> excluded.checksum OR s.state::text <> excluded.state::text`, streams, versions, formats, states, sums)
	if err != nil {
		return postgres.Classify(fmt.Errorf("save snapshots of %d streams: %w", len(snapshots), err))
	}
	return nil
}

// SaveFormerSnapshots stores snapshots in the table that processes of the release before read, one row
// per stream, for what they could not fold themselves during a roll. The statement runs [postgres.Later].
func SaveFormerSnapshots(ctx context.Context, q postgres.Querier, snapshots ...Snapshot) error {
	if len(snapshots) == 0 {
		return nil
	}
	streams, versions, states := make([]string, len(snapshots)), make([]int64, len(snapshots)), make([]string, len(snapshots))
	for i, s := range snapshots {
		streams[i], versions[i], states[i] = s.StreamID, s.Version, string(s.State)
	}
	failed := func(err error) error {
		return postgres.Classify(fmt.Errorf("save %d snapshots for the release before: %w", len(snapshots), err))
	}
	_, err := postgres.Later(q, failed).Exec(ctx, `
		INSERT INTO snapshots (stream_id, version, state)
		SELECT n.id, n.version, n.state::jsonb FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (id, version, state)
		ON CONFLICT (stream_id) DO UPDATE
		SET version = excluded.version, state = excluded.state, taken_at = excluded.taken_at
		WHERE snapshots.version < excluded.version`, streams, versions, states)
	return err
}

// LoadSnapshot returns the stream's latest snapshot of the format; ok is false when there is none, or
// when the latest is corrupt. The present state is the snapshot plus the events that [Load] returns
// after its version. [States] does both.
func LoadSnapshot(ctx context.Context, q postgres.Querier, streamID string, format int) (s Snapshot, ok bool, err error) {
	var sum []byte
	s = Snapshot{StreamID: streamID, Format: format}
	err = q.QueryRow(ctx, `SELECT version, state, checksum FROM stream_snapshots
		WHERE stream_id = $1 AND format = $2 ORDER BY version DESC LIMIT 1`, streamID, format).
		Scan(&s.Version, (*[]byte)(&s.State), &sum)
	if errors.Is(err, pgx.ErrNoRows) {
		return Snapshot{}, false, nil
	}
	if err != nil {
		return Snapshot{}, false, postgres.Classify(fmt.Errorf("load snapshot of stream %s: %w", streamID, err))
	}
	if s.unusable(format, sum) != "" {
		return Snapshot{}, false, nil
	}
	return s, true, nil
}
