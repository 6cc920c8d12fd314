package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/sequence"
)

// Start is a moment: all rows whose sequence numbers had been drawn are visible, or will never
// exist, when the writers have ended.
type Start struct {
	Seq         int64 // the last number that had been drawn
	Incarnation uuid.UUID
	Writers     sequence.Writers
}

// ErrCache reports a sequence with a cache. Its last value says nothing: a session's cached numbers
// are below it and not drawn yet.
var ErrCache = errors.New("the sequence outbox_seq_seq has a cache, so that no number of it bounds the others; set it to CACHE 1")

// Incarnation is the id of the server's life since its last crash, as SQL; NULL at its beginning.
// What was learnt about the queue holds for as long as it stays the same.
const Incarnation = `(SELECT id FROM outbox_incarnation)`

const last = `SELECT seqcache = 1, CASE WHEN is_called THEN last_value ELSE last_value - 1 END, ` + Incarnation + `
	FROM outbox_seq_seq, pg_sequence WHERE seqrelid = 'outbox_seq_seq'::regclass`

// Begin returns this moment. It reads the sequence before the writers: a number that is drawn later
// is above Seq, and a transaction that had drawn one has its lock.
func Begin(ctx context.Context, q postgres.Querier) (s Start, err error) {
	var usable bool
	var incarnation *uuid.UUID
	for incarnation == nil {
		if err := q.QueryRow(ctx, last).Scan(&usable, &s.Seq, &incarnation); err != nil {
			return Start{}, fmt.Errorf("read the outbox's sequence: %w", err)
		}
		if incarnation != nil {
			break
		}
		if _, err := q.Exec(ctx, `INSERT INTO outbox_incarnation DEFAULT VALUES ON CONFLICT DO NOTHING`); err != nil {
			return Start{}, fmt.Errorf("note the server's incarnation: %w", err)
		}
	}
	if !usable {
		return Start{}, ErrCache
	}
	s.Incarnation = *incarnation
	s.Writers, err = sequence.Note(ctx, q, "outbox")
	return s, err
}
