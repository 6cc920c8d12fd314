package retry

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

// Actions of operators on dead letters in the audit trail.
const (
	actionEdited           = "edited"
	actionResubmitted      = "resubmitted"
	actionResubmittedAgain = "resubmitted_again" // no effect: it was not open
	actionDiscarded        = "discarded"
)

// maxEnvelope bounds key and headers of an edited record, in bytes. They have to fit on a retry or
// dead-letter topic beside two error texts and this package's headers. The payload need not fit,
// because the tables have it.
const maxEnvelope = outbox.MaxRaw - 4*maxErrorText

// Edit lists the changes to a record that is to be resubmitted. Fields that are not set leave the
// record as it is, original or after an earlier edit. The original is kept in any case.
type Edit struct {
	Key     *[]byte        // pointer to nil: without a key
	Value   *[]byte        // pointer to nil: a tombstone
	Headers []event.Header // replace all headers; nil leaves them
	Set     []event.Header // set after that: each replaces the headers of its name
	Note    string         // the reason
}

// Edit changes the record of an open dead letter and returns the dead letter after the change. With
// dryRun it writes nothing.
//
// Errors: errs.NotFound, errs.Conflict when it is not open, errs.Invalid when nothing is to be
// changed, when key and headers would not fit on a topic, or when the key of a dead letter that
// parks would change: that key is its place in the order.
func (s *Store) Edit(ctx context.Context, pool *pgxpool.Pool, id uuid.UUID, actor string, e Edit, dryRun bool) (Details, error) {
	var d Details
	err := s.change(ctx, pool, dryRun, func(tx pgx.Tx) (err error) {
		if d, err = s.lock(ctx, tx, id); err != nil {
			return err
		}
		if d.Status != StatusOpen {
			return errs.New(errs.Conflict, "dead letter %s is %s; only open ones are edited", id, d.Status)
		}
		before := d.Effective()
		r := e.Apply(before)
		if err := e.check(d, r); err != nil {
			return err
		}
		headers, err := encodeHeaders(r.Headers)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE dead_letters SET edited_key = $2, edited_payload = $3, edited_headers = $4::jsonb WHERE id = $1`,
			id, r.Key, r.Value, headers)
		if err != nil {
			return postgres.Classify(fmt.Errorf("store edited record: %w", err))
		}
		d.Edited, d.Repaired = true, &r
		return act(ctx, tx, id, actor, actionEdited, because(e.Note, e.describe(before)))
	})
	return d, err
}

// Apply returns a record with the changes.
func (e Edit) Apply(r Record) Record {
	if e.Key != nil {
		r.Key = *e.Key
	}
	if e.Value != nil {
		r.Value = *e.Value
	}
	if e.Headers != nil {
		r.Headers = e.Headers
	}
	r.Headers = slices.Clone(r.Headers)
	for _, h := range e.Set {
		r.Headers = slices.DeleteFunc(r.Headers, func(old event.Header) bool { return old.Key == h.Key })
		r.Headers = append(r.Headers, h)
	}
	return r
}

// check refuses an edit whose result r must not be resubmitted.
func (e Edit) check(d Details, r Record) error {
	switch envelope := (outbox.Raw{Key: r.Key, Headers: r.Headers}).Size(); {
	case e.Key == nil && e.Value == nil && e.Headers == nil && len(e.Set) == 0:
		return errs.Field("", "nothing is to be changed")
	case d.Parks && !bytes.Equal(r.Key, d.Key):
		return errs.Field("key", "cannot be changed: records of this key wait behind it; discard it instead")
	case envelope > maxEnvelope:
		return errs.Field("headers", "key and headers of %d bytes are more than %d", envelope, maxEnvelope)
	}
	for _, h := range slices.Concat(e.Headers, e.Set) {
		// ParseHead would take it for a header of the retry record that carries it.
		if strings.HasPrefix(h.Key, retryPrefix) {
			return errs.Field("headers", "%q is not allowed: the prefix %s is this system's own", h.Key, retryPrefix)
		}
	}
	return nil
}

// describe returns what an edit changed, for the audit trail.
func (e Edit) describe(before Record) string {
	var changes []string
	if e.Key != nil {
		changes = append(changes, fmt.Sprintf("key %q (was %q)", *e.Key, before.Key))
	}
	if e.Value != nil {
		changes = append(changes, fmt.Sprintf("payload of %d bytes (was %d)", len(*e.Value), len(before.Value)))
	}
	if e.Headers != nil {
		changes = append(changes, fmt.Sprintf("all headers: %d (were %d)", len(e.Headers), len(before.Headers)))
	}
	for _, h := range e.Set {
		changes = append(changes, fmt.Sprintf("header %q", h.Key))
	}
	return clip(strings.Join(changes, ", "))
}

// because joins an operator's words and the facts of an action.
func because(reason, facts string) string {
	switch {
	case reason == "":
		return facts
	case facts == "":
		return reason
	}
	return reason + " (" + facts + ")"
}
