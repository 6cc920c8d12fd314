package retry

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

// Headers of a dead letter on its topic, besides the original ones. Values are UTF-8 text; times
// are RFC 3339 in UTC with nanoseconds.
const (
	HeaderDLQID             = "dlq_id"                 // UUIDv7 of the dead letter; further copies carry the same id
	HeaderDLQTopic          = "dlq_original_topic"     //
	HeaderDLQPartition      = "dlq_original_partition" // decimal
	HeaderDLQOffset         = "dlq_original_offset"    // decimal
	HeaderDLQTimestamp      = "dlq_original_timestamp" //
	HeaderDLQGroup          = "dlq_group"              // the consumer group that gave up
	HeaderDLQErrorClass     = "dlq_error_class"        // an errs.Kind
	HeaderDLQErrorMessage   = "dlq_error_message"      //
	HeaderDLQErrorStack     = "dlq_error_stack"        // of the panic, or of the place where the record was given up
	HeaderDLQAttempts       = "dlq_attempts"           // decimal, over all resubmissions
	HeaderDLQFirstFailure   = "dlq_first_failure"      //
	HeaderDLQLastFailure    = "dlq_last_failure"       //
	HeaderDLQPayloadOmitted = "dlq_payload_omitted"    // decimal: bytes of a payload that was too large to be sent again
)

// Actions of a dead letter in its audit trail.
const (
	actionDeadLettered = "dead_lettered"
	actionFailedAgain  = "failed_again"
	actionResolved     = "resolved"
)

// Letter is a record that is given up.
type Letter struct {
	Record
	InboxID   uuid.UUID
	EventID   uuid.UUID // uuid.Nil where no event could be read
	EventType string
	Failure
	Parks bool // it has a place in its key's order, so its key waits for a decision
}

// Bury gives up a record that was never in retry. It stores the dead letter, writes its copy for
// the dead-letter topic and, if the record parks, parks its key. A key that was parked in the
// meantime is an error of kind errs.Transient, as for [Store.Park].
func (s *Store) Bury(ctx context.Context, tx pgx.Tx, l Letter) (id uuid.UUID, err error) {
	if id, err = s.bury(ctx, tx, l); err != nil || !l.Parks {
		return id, err
	}
	return id, s.park(ctx, tx, l.ParkedKey(), "dead", id, l.head(), nil)
}

func (l Letter) head() Head {
	return Head{Record: l.Record, InboxID: l.InboxID, EventType: l.EventType, Failure: l.Failure, NotBefore: l.Last}
}

// BuryHead gives up a record whose key is parked by the head with the given id: that head, or the
// next follower. A record that was a resubmitted dead letter becomes that dead letter again, and
// its attempts are added up. The record keeps its key parked, unless it is a record that parks
// nothing: then parked is false, and its followers go on. The caller has locked the key (see
// [Store.Take]).
func (s *Store) BuryHead(ctx context.Context, tx pgx.Tx, head uuid.UUID, h Head, eventID uuid.UUID) (id uuid.UUID, parked bool, err error) {
	if h.DeadLetter == uuid.Nil {
		l := Letter{Record: h.Record, InboxID: h.InboxID, EventID: eventID, EventType: h.EventType, Failure: h.Failure, Parks: true}
		id, err = s.bury(ctx, tx, l)
		parked = true
	} else {
		id = h.DeadLetter
		parked, err = s.reopen(ctx, tx, h)
	}
	if err != nil || !parked {
		return id, parked, err
	}
	return id, true, s.move(ctx, tx, h.ParkedKey(), head, "dead", id, h, nil)
}

// bury stores a new dead letter and writes its copy.
func (s *Store) bury(ctx context.Context, tx pgx.Tx, l Letter) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, err
	}
	headers, err := encodeHeaders(l.Headers)
	if err != nil {
		return id, err
	}
	var eventID *uuid.UUID
	if l.EventID != uuid.Nil {
		eventID = &l.EventID
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO dead_letters (id, consumer_group, topic, record_key, record_partition, record_offset, record_time, payload, headers,
			inbox_id, event_id, event_type, error_class, error_message, error_stack, attempts, first_failure, last_failure, parks, status)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 'open')`,
		id, s.group, l.Topic, l.Key, l.Partition, l.Offset, l.Time, l.Value, headers,
		l.InboxID, eventID, l.EventType, l.Class, l.Message, l.Stack, l.Attempts, l.First, l.Last, l.Parks)
	if err != nil {
		return id, postgres.Classify(fmt.Errorf("store dead letter: %w", err))
	}
	if err := s.giveUp(ctx, tx, id, l); err != nil {
		return id, err
	}
	if err := act(ctx, tx, id, s.group, actionDeadLettered, l.Message); err != nil {
		return id, err
	}
	return id, s.out.AppendRaw(ctx, tx, s.copyOf(id, id, l))
}

// reopen sets a resubmitted dead letter whose attempts failed again back to open.
func (s *Store) reopen(ctx context.Context, tx pgx.Tx, h Head) (parks bool, err error) {
	l := Letter{Record: h.Record, Failure: h.Failure}
	err = tx.QueryRow(ctx, `
		UPDATE dead_letters SET status = 'open', error_class = $2, error_message = $3, error_stack = $4, attempts = attempts + $5, last_failure = $6
		WHERE id = $1 RETURNING parks, attempts, first_failure`,
		h.DeadLetter, h.Class, h.Message, h.Stack, h.Attempts, h.Last).Scan(&parks, &l.Attempts, &l.First)
	if err != nil {
		return false, postgres.Classify(fmt.Errorf("reopen dead letter: %w", err))
	}
	if err := act(ctx, tx, h.DeadLetter, s.group, actionFailedAgain, h.Message); err != nil {
		return parks, err
	}
	row, err := uuid.NewV7()
	if err != nil {
		return parks, err
	}
	return parks, s.out.AppendRaw(ctx, tx, s.copyOf(row, h.DeadLetter, l))
}

// Resolve records that a resubmitted dead letter had its effect.
func (s *Store) Resolve(ctx context.Context, tx pgx.Tx, id uuid.UUID, detail string) error {
	tag, err := tx.Exec(ctx, `UPDATE dead_letters SET status = 'resolved', closed_at = clock_timestamp() WHERE id = $1 AND status = 'resubmitted'`, id)
	switch {
	case err != nil:
		return postgres.Classify(fmt.Errorf("resolve dead letter: %w", err))
	case tag.RowsAffected() == 0:
		return errs.New(errs.Internal, "dead letter %s is not resubmitted", id)
	}
	if err := s.decide(ctx, tx, id, StatusResolved); err != nil {
		return err
	}
	return act(ctx, tx, id, s.group, actionResolved, detail)
}

// act adds a line to the audit trail of a dead letter.
func act(ctx context.Context, tx pgx.Tx, id uuid.UUID, actor, action, detail string) error {
	_, err := tx.Exec(ctx, `INSERT INTO dead_letter_actions (dead_letter, actor, action, detail) VALUES ($1, $2, $3, $4)`,
		id, actor, action, detail)
	if err != nil {
		return postgres.Classify(fmt.Errorf("record what was done to the dead letter: %w", err))
	}
	return nil
}

// copyOf returns the record for the dead-letter topic of this group: the original bytes, key and
// headers, unchanged, plus everything that is needed to find and understand it.
//
// A record near the broker's size limit leaves no room for that. Its copy has no payload and, if
// need be, neither the original headers nor the key. The table has all of them.
func (s *Store) copyOf(row, id uuid.UUID, l Letter) outbox.Raw {
	about := []event.Header{
		text(HeaderDLQID, id.String()),
		text(HeaderDLQTopic, l.Topic),
		text(HeaderDLQPartition, strconv.FormatInt(int64(l.Partition), 10)),
		text(HeaderDLQOffset, strconv.FormatInt(l.Offset, 10)),
		text(HeaderDLQTimestamp, stamp(l.Time)),
		text(HeaderDLQGroup, s.group),
		text(HeaderDLQErrorClass, l.Class),
		text(HeaderDLQErrorMessage, l.Message),
		text(HeaderDLQErrorStack, l.Stack),
		text(HeaderDLQAttempts, strconv.Itoa(l.Attempts)),
		text(HeaderDLQFirstFailure, stamp(l.First)),
		text(HeaderDLQLastFailure, stamp(l.Last)),
	}
	raw := outbox.Raw{
		ID:      row,
		Topic:   event.DeadLetterTopic(l.Topic, s.group).Name,
		Key:     l.Key,
		Payload: l.Value,
		Headers: append(append([]event.Header(nil), l.Headers...), about...),
	}
	if raw.Size() > outbox.MaxRaw {
		about = append(about, text(HeaderDLQPayloadOmitted, strconv.Itoa(len(l.Value))))
		raw.Payload, raw.Headers = nil, append(append([]event.Header(nil), l.Headers...), about...)
	}
	if raw.Size() > outbox.MaxRaw {
		raw.Key, raw.Headers = nil, about
	}
	return raw
}

func encodeHeaders(hs []event.Header) (string, error) {
	if hs == nil {
		hs = []event.Header{}
	}
	b, err := json.Marshal(hs)
	if err != nil {
		return "", fmt.Errorf("encode headers: %w", err)
	}
	return string(b), nil
}

// keepClosed is how long a resolved or discarded dead letter is kept, with its audit trail. It
// equals the retention of the dead-letter topics.
const keepClosed = 30 * 24 * time.Hour

// Maintain deletes dead letters closed more than 30 days before now, with their audit trails. The
// fact that their records were given up is kept (see [Store.GivenUp]). Open ones stay whatever
// their age, because keys may wait behind them. Repaired ones that had their effect stay as well,
// because the topic keeps the broken bytes: a reader that begins at offset 0 needs the repaired ones
// (see [Store.Decisions]).
func (s *Store) Maintain(ctx context.Context, q postgres.Querier, now time.Time) error {
	_, err := q.Exec(ctx, `DELETE FROM dead_letters WHERE consumer_group = $1 AND closed_at < $2
		AND (status = 'discarded' OR edited_headers IS NULL)`, s.group, now.Add(-keepClosed))
	if err != nil {
		return postgres.Classify(fmt.Errorf("prune closed dead letters: %w", err))
	}
	return nil
}
