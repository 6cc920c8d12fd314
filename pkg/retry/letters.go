package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/postgres"
)

// Status is the status of a dead letter.
//
//	open ──resubmit──▶ resubmitted ──handled──▶ resolved
//	 │ ▲                    │
//	 │ └───failed again─────┘
//	 └──discard──▶ discarded
type Status string

// The statuses. Open and resubmitted dead letters are kept until they are closed, the others for 30
// more days (see [Store.Maintain]).
const (
	StatusOpen        Status = "open"        // an operator has to decide
	StatusResubmitted Status = "resubmitted" // has another round of attempts, or waits for its turn
	StatusResolved    Status = "resolved"    // had its effect
	StatusDiscarded   Status = "discarded"   // never has an effect
)

// DeadLetter is a record that was given up, without its value and headers.
type DeadLetter struct {
	ID        uuid.UUID // UUIDv7; dlq_id on the dead-letter topic
	Group     string
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time // of the record
	Key       []byte    // original; nil: without a key
	EventID   uuid.UUID // uuid.Nil where no event could be read
	EventType string
	Failure   // Attempts counts all resubmissions
	Status    Status
	Parks     bool // its key waits until an operator decides
	Edited    bool
	// Followers is the number of records that wait behind it. Behind a dead letter that parks
	// nothing, records wait only while it is resubmitted and the head of its key.
	Followers int64
	RetryID   uuid.UUID // of its latest resubmission's retry record; uuid.Nil: none, or it waits for its turn
	CreatedAt time.Time // when it was first given up
	ClosedAt  time.Time // when it was resolved or discarded; zero until then
}

// Details is a dead letter with everything that is known about it.
type Details struct {
	DeadLetter
	Original Record  // as it was read
	Repaired *Record // as it will be resubmitted; nil: the original
	InboxID  uuid.UUID
}

// Effective returns the record that a resubmission passes to the handler.
func (d Details) Effective() Record {
	if d.Repaired != nil {
		return *d.Repaired
	}
	return d.Original
}

// Action is a line of a dead letter's audit trail.
type Action struct {
	At     time.Time
	Actor  string // a person's name, or the consumer group
	Action string // dead_lettered, edited, resubmitted, resubmitted_again, failed_again, resolved or discarded
	Detail string
}

// Get returns a dead letter of this group. The error is errs.NotFound when the group has none with
// this id.
func (s *Store) Get(ctx context.Context, q postgres.Querier, id uuid.UUID) (Details, error) {
	return s.get(ctx, q, id, "")
}

// columns lists the columns of a DeadLetter in the order of nullable.targets. The key by which a
// dead letter is ordered is the edited key if it was edited. The key of a dead letter that parks
// cannot be edited.
const columns = `d.id, d.consumer_group, d.topic, d.record_partition, d.record_offset, d.record_time, d.record_key,
	d.event_id, d.event_type, d.attempts, d.first_failure, d.last_failure, d.error_class, d.error_message, d.error_stack,
	d.status, d.parks, d.edited_headers IS NOT NULL, d.retry_id, d.created_at, d.closed_at,
	CASE WHEN d.status NOT IN ('open', 'resubmitted') THEN 0 ELSE (
		SELECT count(*) FROM parked_keys k JOIN parked_records r USING (consumer_group, topic, key)
		WHERE k.consumer_group = d.consumer_group AND k.topic = d.topic AND (d.parks OR k.head = d.retry_id)
		  AND k.key = (SELECT ` + parkedKeyOf + ` FROM (
			SELECT coalesce(CASE WHEN d.edited_headers IS NULL THEN d.record_key ELSE d.edited_key END, '') AS key) AS record)) END`

// nullable has the columns that a DeadLetter represents by zero values.
type nullable struct {
	eventID, retryID *uuid.UUID
	closedAt         *time.Time
}

func (n *nullable) targets(d *DeadLetter) []any {
	return []any{
		&d.ID, &d.Group, &d.Topic, &d.Partition, &d.Offset, &d.Time, &d.Key,
		&n.eventID, &d.EventType, &d.Attempts, &d.First, &d.Last, &d.Class, &d.Message, &d.Stack,
		&d.Status, &d.Parks, &d.Edited, &n.retryID, &d.CreatedAt, &n.closedAt, &d.Followers,
	}
}

func (n *nullable) into(d *DeadLetter) {
	if n.eventID != nil {
		d.EventID = *n.eventID
	}
	if n.retryID != nil {
		d.RetryID = *n.retryID
	}
	if n.closedAt != nil {
		d.ClosedAt = *n.closedAt
	}
}

// lock is [Store.Get] that also locks the dead letter until the transaction ends. A transaction
// that also needs its key's row locks the dead letter first.
func (s *Store) lock(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Details, error) {
	return s.get(ctx, tx, id, " FOR UPDATE OF d")
}

func (s *Store) get(ctx context.Context, q postgres.Querier, id uuid.UUID, suffix string) (Details, error) {
	var d Details
	var n nullable
	var edited Record
	var editedHeaders *[]event.Header
	targets := append(n.targets(&d.DeadLetter), &d.Original.Value, &d.Original.Headers, &d.InboxID, &edited.Key, &edited.Value, &editedHeaders)
	err := q.QueryRow(ctx, `SELECT `+columns+`, d.payload, d.headers, d.inbox_id, d.edited_key, d.edited_payload, d.edited_headers
		FROM dead_letters d WHERE d.consumer_group = $1 AND d.id = $2`+suffix, s.group, id).Scan(targets...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, errs.New(errs.NotFound, "group %s has no dead letter %s", s.group, id)
	case err != nil:
		return d, postgres.Classify(fmt.Errorf("read dead letter: %w", err))
	}
	n.into(&d.DeadLetter)
	place := Record{Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Time: d.Time}
	original := place
	original.Key, original.Value, original.Headers = bytes.Clone(d.Key), d.Original.Value, d.Original.Headers
	d.Original = original
	if editedHeaders != nil {
		place.Key, place.Value, place.Headers = edited.Key, edited.Value, *editedHeaders
		d.Repaired = &place
	}
	return d, nil
}

// Actions returns the audit trail of a dead letter, oldest first. It is empty when this group has
// no dead letter with that id.
func (s *Store) Actions(ctx context.Context, q postgres.Querier, id uuid.UUID) ([]Action, error) {
	rows, err := q.Query(ctx, `SELECT a.at, a.actor, a.action, a.detail
		FROM dead_letter_actions a JOIN dead_letters d ON d.id = a.dead_letter
		WHERE d.consumer_group = $1 AND d.id = $2 ORDER BY a.id`, s.group, id)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read what was done to the dead letter: %w", err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Action])
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read what was done to the dead letter: %w", err))
	}
	return all, nil
}
