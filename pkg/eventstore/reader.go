package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/sequence"
)

// Positioned is an event with its place in the order of all events.
type Positioned struct {
	Record
	Position int64 // grows, with gaps
}

// Reader passes the events of all streams to Handle, in the order of their positions, within a stream
// in the order of versions. The position up to which it has come is stored in Handle's transaction, so
// each event has its effect once. Several processes may run readers of one name: one of them works at a time.
//
// It never passes over an event that commits late. A position is drawn before the commit, so the reader
// reads only up to a position that no open transaction can still fill (package sequence). A transaction
// that has appended and stays open delays all events behind it, until it ends. Transactions that commit
// without waiting for the disk (synchronous_commit off) are not covered: a crash may take their events
// back, and their positions may be drawn again.
//
// Events that were appended before the store had positions are not read.
type Reader struct {
	Name   string   // of the stored position
	Types  []string // the types of events that Handle gets; nil: all
	Pool   *pgxpool.Pool
	Handle func(ctx context.Context, tx pgx.Tx, events []Positioned) error

	Every time.Duration // 500 ms: finds what other processes appended
	Batch int           // 500: most events per transaction
	Log   *slog.Logger  // nil: slog.Default
}

const (
	// writersEnd is how long one step waits for transactions that may still append. Then it gives
	// its connection back and begins anew, so a transaction that stays open costs no connection.
	writersEnd = time.Second
	writersAsk = 10 * time.Millisecond
)

// Run reads until ctx ends, whenever wake receives a value and every r.Every. Errors are logged when
// they begin, and the step is repeated.
func (r *Reader) Run(ctx context.Context, wake <-chan struct{}) {
	log := r.Log
	if log == nil {
		log = slog.Default()
	}
	every := r.Every
	if every <= 0 {
		every = 500 * time.Millisecond
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for ctx.Err() == nil {
		more, err := r.Step(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			log.WarnContext(ctx, "the reader of all events waits; it will try again", "reader", r.Name, "error", err)
		}
		failing = err != nil
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-ticker.C:
		}
	}
}

// Step handles at most one batch. more reports that there may be further events to handle at once.
func (r *Reader) Step(ctx context.Context) (more bool, err error) {
	// All of a step is on one connection: after a crash of the server numbers may be drawn again, and
	// what was learnt before it is no longer true. The connection does not survive the crash.
	conn, err := r.Pool.Acquire(ctx)
	if err != nil {
		return false, r.failed(err)
	}
	defer conn.Release()
	upTo, ok, err := r.settled(ctx, conn.Conn())
	if err != nil || !ok {
		return false, r.failed(err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		more, err = r.handle(ctx, tx, upTo)
		return err
	})
	return more, r.failed(err)
}

// failed returns an error of a step with its kind.
func (r *Reader) failed(err error) error {
	if err == nil || errs.KindOf(err) != errs.Internal {
		return err
	}
	return postgres.Classify(fmt.Errorf("read all events as %s: %w", r.Name, err))
}

// settled returns the position up to which no event can appear any more. ok is false when there is
// nothing to read up to there, or when a transaction that may still append does not end.
func (r *Reader) settled(ctx context.Context, q postgres.Querier) (upTo int64, ok bool, err error) {
	var at *int64
	var drawn int64
	err = q.QueryRow(ctx, `SELECT (SELECT position FROM event_readers WHERE name = $1), last_value FROM events_position_seq`, r.Name).Scan(&at, &drawn)
	switch {
	case err != nil:
		return 0, false, err
	case at == nil:
		at = new(int64)
		if _, err := q.Exec(ctx, `INSERT INTO event_readers (name) VALUES ($1) ON CONFLICT DO NOTHING`, r.Name); err != nil {
			return 0, false, err
		}
	case *at >= drawn:
		return 0, false, nil // as most looks: the writers need not be looked for
	}
	start, err := sequence.Begin(ctx, q, "events", "events_position_seq")
	if err != nil || *at >= start.Last {
		return 0, false, err
	}
	timeout := time.NewTimer(writersEnd)
	defer timeout.Stop()
	for {
		ended, err := start.Writers.Ended(ctx, q)
		if err != nil || ended {
			return start.Last, ended, err
		}
		select {
		case <-ctx.Done():
			return 0, false, ctx.Err()
		case <-timeout.C:
			return 0, false, nil
		case <-time.After(writersAsk):
		}
	}
}

// handle passes on what lies between the stored position and upTo. What it stores is the position of an
// event that it saw, and not upTo: numbers that no event has may be drawn again after a crash.
func (r *Reader) handle(ctx context.Context, tx pgx.Tx, upTo int64) (more bool, err error) {
	var at int64
	err = tx.QueryRow(ctx, `SELECT position FROM event_readers WHERE name = $1 FOR UPDATE SKIP LOCKED`, r.Name).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil // another process is reading
	}
	if err != nil {
		return false, err
	}
	batch := r.Batch
	if batch <= 0 {
		batch = 500
	}
	events, err := between(ctx, tx, at, upTo, r.Types, batch)
	if err != nil {
		return false, err
	}
	var next int64
	if more = len(events) == batch; more {
		next = events[batch-1].Position
	} else if err := tx.QueryRow(ctx, `SELECT coalesce(max(position), $1) FROM events WHERE position > $1 AND position <= $2`, at, upTo).Scan(&next); err != nil {
		return false, err
	}
	if next == at {
		return false, nil
	}
	if len(events) > 0 {
		if err := r.Handle(ctx, tx, events); err != nil {
			return false, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE event_readers SET position = $2 WHERE name = $1`, r.Name, next)
	return more, err
}

func between(ctx context.Context, tx pgx.Tx, after, upTo int64, types []string, most int) (events []Positioned, err error) {
	rows, err := tx.Query(ctx, `SELECT position, stream_id, `+ofStream+` FROM events
		WHERE position > $1 AND position <= $2 AND ($3::text[] IS NULL OR event_type = ANY ($3))
		ORDER BY position LIMIT $4`, after, upTo, types, most)
	if err != nil {
		return nil, err
	}
	var e Positioned
	_, err = pgx.ForEachRow(rows, append([]any{&e.Position, &e.StreamID}, e.targets()...), func() error {
		e.RecordedAt = e.RecordedAt.UTC()
		events = append(events, e)
		return nil
	})
	return events, err
}
