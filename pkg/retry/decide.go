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

// changeTries is how often a change is tried: a consumer may park the key, or win a
// lock, at the same moment, and finds another world the second time.
const changeTries = 3

// errDryRun rolls a rehearsed change back.
var errDryRun = errors.New("dry run")

// change runs one person's decision in a transaction of its own and wakes the relay. A
// dry run does all of it and rolls back: what it says would have happened.
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

// Resubmission is what Resubmit did.
type Resubmission struct {
	Status  Status    // after it
	Effect  bool      // false: it was not open, and nothing was done but to record the attempt
	RetryID uuid.UUID // of the retry record; uuid.Nil without effect, in a dry run, or when it waits
	Waits   bool      // its key is parked by another record: its turn comes when that is out of the way
}

// Resubmit gives the record of an open dead letter, edited or as it came, another round
// of attempts, by this group only. One that parks is the head of its key again, and what
// waits follows when it succeeds. One that parks nothing becomes the head of its key if
// that is free, else it waits behind what is there.
//
// Done twice, or by many at once, it has one effect: only an open dead letter is
// resubmitted, and afterwards it is not open. With dryRun it writes nothing.
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

// resubmit puts the record in its place: the head of its key, or behind that.
func (s *Store) resubmit(ctx context.Context, tx pgx.Tx, d Details) (retryID uuid.UUID, waits bool, err error) {
	r := d.Effective()
	key := r.Lane()
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

// Discarding is what Discard did.
type Discarding struct {
	Status    Status // after it
	Effect    bool   // true: errors aside, a discarding always has one
	Followers int64  // records that waited behind it and go on
}

// Discard decides that the record of an open dead letter shall never have an effect.
// What waits behind it goes on, in order. With dryRun it writes nothing.
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

// letFollow ends the parking of a key by an open dead letter: at once when nothing
// waits, else by a retry record that does nothing but let its followers go on, so that
// handlers run in the consumer as always.
func (s *Store) letFollow(ctx context.Context, tx pgx.Tx, d Details) (followers int64, err error) {
	if !d.Parks {
		return 0, nil // it holds no key while it is open
	}
	key := d.Original.Lane()
	// With the row locked nobody appends, so the count, a statement of its own, stays true.
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
	skip.Value, skip.Headers = nil, nil // nobody reads them
	h := Head{Record: skip, InboxID: d.InboxID, EventType: d.EventType, NotBefore: time.Now(), Skip: true}
	return followers, s.Replace(ctx, tx, key, d.ID, h)
}
