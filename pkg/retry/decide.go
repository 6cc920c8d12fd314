package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// changeTries is how often a change is tried. A consumer may park the key, or win a lock, at the
// same moment; the next try reads the new state.
const changeTries = 3

// errDryRun rolls back the change of a dry run.
var errDryRun = errors.New("dry run")

// change runs one operator's decision in a transaction of its own and wakes the relay. A dry run
// executes the same statements and rolls back, so its result is what would have happened.
func (s *Store) change(ctx context.Context, pool *pgxpool.Pool, dryRun bool, fn func(tx pgx.Tx) error) (err error) {
	for range changeTries {
		err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			if dryRun {
				return errDryRun
			}
			return nil
		})
		switch {
		case err == nil:
			s.out.Wake()
			return nil
		case errors.Is(err, errDryRun):
			return nil
		case errs.KindOf(err) != errs.Transient || ctx.Err() != nil:
			return err
		}
	}
	return err
}

// Resubmission is the result of [Store.Resubmit].
type Resubmission struct {
	Status  Status    // after it
	Effect  bool      // false: the dead letter was not open, and only the attempt was recorded
	RetryID uuid.UUID // of the retry record; uuid.Nil without effect, in a dry run, or when it waits
	Waits   bool      // another record parks the key: this one goes on after it
}

// Resubmit gives the record of an open dead letter, edited or original, another round of attempts,
// by this group only. A record that parks becomes the head of its key again, and its followers go
// on when it succeeds. A record that parks nothing becomes the head of its key if the key is not
// parked. Otherwise it waits behind the records that are there.
//
// Repeated or concurrent calls have one effect: only an open dead letter is resubmitted, and
// afterwards it is not open. With dryRun Resubmit writes nothing.
//
// Errors: errs.NotFound; errs.Hopeless when its key and headers do not fit on a topic.
func (s *Store) Resubmit(ctx context.Context, pool *pgxpool.Pool, id uuid.UUID, actor, reason string, dryRun bool) (Resubmission, error) {
	var done Resubmission
	err := s.change(ctx, pool, dryRun, func(tx pgx.Tx) error {
		d, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		done = Resubmission{Status: d.Status}
		if d.Status != StatusOpen {
			return act(ctx, tx, id, actor, actionResubmittedAgain, because(reason, "no effect: it is "+string(d.Status)))
		}
		if done.RetryID, done.Waits, err = s.resubmit(ctx, tx, d); err != nil {
			return err
		}
		var retryID *uuid.UUID
		facts := "waits behind another record of its key"
		if !done.Waits {
			retryID, facts = &done.RetryID, "retry record "+done.RetryID.String()
		}
		if _, err := tx.Exec(ctx, `UPDATE dead_letters SET status = 'resubmitted', retry_id = $2 WHERE id = $1`, id, retryID); err != nil {
			return postgres.Classify(fmt.Errorf("resubmit dead letter: %w", err))
		}
		done.Status, done.Effect = StatusResubmitted, true
		return act(ctx, tx, id, actor, actionResubmitted, because(reason, facts))
	})
	if err != nil {
		return Resubmission{}, err
	}
	if dryRun {
		done.RetryID = uuid.Nil
		if done.Effect {
			done.Status = StatusOpen
		}
	}
	return done, nil
}

// resubmit makes the record the head of its key, or a follower.
func (s *Store) resubmit(ctx context.Context, tx pgx.Tx, d Details) (retryID uuid.UUID, waits bool, err error) {
	r := d.Effective()
	key := r.ParkedKey()
	if !d.Parks {
		parked, err := s.Parked(ctx, tx, true, []Key{key})
		if err != nil {
			return uuid.Nil, false, err
		}
		if parked[key] {
			f := Follower{Record: r, InboxID: d.InboxID, EventType: d.EventType, DeadLetter: d.ID}
			return uuid.Nil, true, s.Follow(ctx, tx, f)
		}
	}
	h := Head{Record: r, InboxID: d.InboxID, EventType: d.EventType, DeadLetter: d.ID, NotBefore: time.Now()}
	h, payload, err := s.send(ctx, tx, h)
	if err != nil {
		return uuid.Nil, false, err
	}
	if d.Parks {
		return h.ID, false, s.move(ctx, tx, key, d.ID, "retrying", h.ID, h, payload)
	}
	return h.ID, false, s.park(ctx, tx, key, "retrying", h.ID, h, payload)
}

// Discarding is the result of [Store.Discard].
type Discarding struct {
	Status    Status // after it
	Effect    bool   // always true: without an error, a discarding has an effect
	Followers int64  // records that waited behind it and go on
}

// Discard decides that the record of an open dead letter never has an effect. Its followers go on,
// in order. With dryRun Discard writes nothing.
//
// Errors: errs.NotFound, errs.Conflict when it is not open, errs.Invalid without a reason.
func (s *Store) Discard(ctx context.Context, pool *pgxpool.Pool, id uuid.UUID, actor, reason string, dryRun bool) (Discarding, error) {
	if reason == "" {
		return Discarding{}, errs.Field("reason", "is required")
	}
	done := Discarding{Status: StatusDiscarded, Effect: true}
	err := s.change(ctx, pool, dryRun, func(tx pgx.Tx) error {
		d, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if d.Status != StatusOpen {
			return errs.New(errs.Conflict, "dead letter %s is %s; only open ones are discarded", id, d.Status)
		}
		if done.Followers, err = s.letFollow(ctx, tx, d); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE dead_letters SET status = 'discarded', closed_at = clock_timestamp() WHERE id = $1`, id); err != nil {
			return postgres.Classify(fmt.Errorf("discard dead letter: %w", err))
		}
		if err := s.decide(ctx, tx, id, StatusDiscarded); err != nil {
			return err
		}
		facts := ""
		if done.Followers > 0 {
			facts = fmt.Sprintf("%d records go on behind it", done.Followers)
		}
		return act(ctx, tx, id, actor, actionDiscarded, because(reason, facts))
	})
	if err != nil {
		return Discarding{}, err
	}
	if dryRun {
		done.Status = StatusOpen
	}
	return done, nil
}

// letFollow ends the parking of a key by an open dead letter. Without followers it does so at once.
// With followers it sends a retry record that only lets them go on, so that handlers run in the
// consumer as always.
func (s *Store) letFollow(ctx context.Context, tx pgx.Tx, d Details) (followers int64, err error) {
	if !d.Parks {
		return 0, nil // it parks no key while it is open
	}
	key := d.Original.ParkedKey()
	// While the row is locked no process appends followers, so the count, a statement of its own,
	// stays true.
	var head uuid.UUID
	err = tx.QueryRow(ctx, `SELECT head FROM parked_keys WHERE consumer_group = $1 AND topic = $2 AND key = $3 AND head = $4 FOR UPDATE`,
		s.group, key.Topic, []byte(key.Key), d.ID).Scan(&head)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errs.New(errs.Internal, "key %q of %s is not parked by %s", key.Key, key.Topic, d.ID)
	}
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT count(*) FROM parked_records WHERE consumer_group = $1 AND topic = $2 AND key = $3`,
			s.group, key.Topic, []byte(key.Key)).Scan(&followers)
	}
	switch {
	case err != nil:
		return 0, postgres.Classify(fmt.Errorf("look for parked records: %w", err))
	case followers == 0:
		return 0, s.Release(ctx, tx, key)
	}
	skip := d.Original
	skip.Value, skip.Headers = nil, nil // no code reads them
	h := Head{Record: skip, InboxID: d.InboxID, EventType: d.EventType, NotBefore: time.Now(), Skip: true}
	return followers, s.Replace(ctx, tx, key, d.ID, h)
}
