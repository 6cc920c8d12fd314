package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// databaseTimeout bounds one batch's transaction. Handlers take milliseconds; a
// database that is merely slow gets its time.
const databaseTimeout = 30 * time.Second

// recordError says which record a transaction failed at.
type recordError struct {
	*item
	error
}

func (e *recordError) Unwrap() error { return e.error }

// transact commits the batch. It is tried without savepoints first. A record that needs
// something that is down is left out, with all behind it on its partition, and the rest
// tried again. A record that fails by its own fault makes the transaction be made again
// with savepoints, so that its failure undoes no other record, and the batches after it
// have them from the start until one has no failure. That costs a round trip for every
// three records while something fails, and nothing otherwise.
func (c *Consumer) transact(ctx context.Context, shares []share, started time.Time) {
	for len(shares) > 0 {
		failures, err := c.attempt(ctx, shares)
		if err == nil {
			c.careful = failures > 0
			if c.narrow *= 2; c.narrow >= c.cfg.MaxBatch {
				c.narrow = 0
			}
			c.committed(shares, started)
			return
		}
		at, own := errors.AsType[*recordError](err)
		if !own {
			err = postgres.Settle(ctx, c.cfg.Pool, err)
		}
		switch {
		case ctx.Err() != nil, !own && errs.KindOf(err) == errs.Transient:
			// Not one record's fault: the database is away, or ctx has ended.
			c.later(shares, err)
			return
		case own && errs.KindOf(err) == errs.Transient:
			shares = c.cut(shares, at.item, at.error, true)
		case !c.careful:
			c.careful = true
		case size(shares) > 1:
			// No handler failed, but the commit did (a constraint that is checked then), or what
			// is written about failures. Whose it is shows when the record is alone.
			c.narrow = size(shares) / 2
			return
		default:
			only := shares[0].items()[0]
			switch {
			case only.cause == nil:
				only.cause = err
			case only.bare == nil:
				only.bare = err
			default:
				// The database takes other writes, and of this record not even its place.
				if only.bare = nil; only.kind != rubbish {
					only.cause = nil
				}
				c.later(shares, fmt.Errorf("record %s cannot be stored as a dead letter; an operator can have it skipped: %w", only.place().Place(), err))
				return
			}
		}
	}
}

// size is the number of records in a batch.
func size(shares []share) int {
	n := 0
	for _, s := range shares {
		n += s.n
	}
	return n
}

// later lets all partitions of a batch wait.
func (c *Consumer) later(shares []share, err error) {
	c.log.Warn("batch not committed; all of it will be tried again", "error", err)
	for _, s := range shares {
		c.postpone(s.q, err)
		s.q.trouble = fmt.Errorf("batch not committed: %w", err)
	}
}

// attempt makes the batch's transaction and tells how many of its records failed.
func (c *Consumer) attempt(ctx context.Context, shares []share) (failures int, err error) {
	// A connection that died without a word would hold the loop, and with it the
	// partitions, until the system gives it up after a quarter of an hour.
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	err = postgres.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		t := &transaction{Consumer: c, tx: tx, now: time.Now()}
		t.probe = sync.OnceValue(func() error { return postgres.Probe(ctx, tx) })
		if err := t.open(ctx, shares); err != nil {
			return err
		}
		for _, s := range shares {
			for _, it := range s.items() {
				if err := t.apply(ctx, it); err != nil {
					return err
				}
			}
			if err := t.flush(ctx); err != nil {
				return err
			}
		}
		failures = len(t.heads) + len(t.letters)
		return t.close(ctx)
	})
	if err != nil && ctx.Err() != nil {
		return 0, errs.New(errs.Transient, "the database took too long: %v", err) // nobody's fault
	}
	return failures, err
}

// transaction is one attempt to commit a batch. What it decides without a handler it
// writes at its end, so that nothing but handlers' own writes is undone with them.
type transaction struct {
	*Consumer
	tx  pgx.Tx
	now time.Time

	fresh  map[uuid.UUID]bool // received for the first time and not decided about yet
	parked map[retry.Key]bool
	given  map[retry.Place]bool // fresh to the inbox, which has forgotten that they were given up
	probe  func() error         // postgres.Probe, once

	pending   []*item // decided to be handled, and not handled yet
	followers []retry.Follower
	heads     []retry.Head
	letters   []retry.Letter
}

// open takes the inbox rows, then sees which keys are parked; in this order, see
// retry.Store.Parked.
func (t *transaction) open(ctx context.Context, shares []share) error {
	var msgs []inbox.Message
	var keys []retry.Key
	for _, s := range shares {
		for _, it := range s.items() {
			if it.kind == foreign {
				continue
			}
			msgs = append(msgs, inbox.Message{ID: it.id, Type: it.typeName()})
			if it.parks {
				keys = append(keys, it.lane())
			}
		}
	}
	var err error
	if t.fresh, err = inbox.Receive(ctx, t.tx, t.cfg.Group, msgs); err != nil {
		return fmt.Errorf("receive into inbox: %w", err)
	}
	if t.parked, err = t.store.Parked(ctx, t.tx, true, keys); err != nil {
		return err
	}
	var fresh []retry.Record
	for _, s := range shares {
		for _, it := range s.items() {
			if it.kind != foreign && t.fresh[it.id] {
				fresh = append(fresh, it.place())
			}
		}
	}
	t.given, err = t.store.GivenUp(ctx, t.tx, fresh)
	return err
}

// apply decides about one record. An error ends the transaction.
func (t *transaction) apply(ctx context.Context, it *item) error {
	switch {
	case it.skip:
		it.outcome = skipped
		return t.store.Skipped(ctx, t.tx, it.place())
	case it.kind == foreign:
		it.outcome = ignored
		return nil
	case !t.fresh[it.id]:
		it.outcome = duplicate
		return nil
	}
	t.fresh[it.id] = false // the same event may stand in the batch twice
	if t.given[it.place().Place()] {
		it.outcome = skipped
		return nil
	}
	if it.kind == rubbish || it.cause != nil {
		// Whether its key is parked depends on those before it.
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	switch {
	case it.bare != nil:
		t.buryBare(it)
		return nil
	case it.parks && t.parked[it.lane()]:
		t.follow(it)
		return nil
	case it.kind == rubbish:
		t.bury(it, it.cause)
		return nil
	case it.cause != nil: // its call failed, or its commit
		t.fails(it, it.cause)
		return nil
	case it.sub.call != nil && !it.called:
		// The look before said duplicate or parked, and the transaction says neither: it
		// has changed in between. The next try makes the call.
		return &recordError{it, errs.New(errs.Transient, "%s %s was not called for", it.typeName(), it.id)}
	}
	t.pending = append(t.pending, it)
	if !t.careful || len(t.pending) >= savepointRecords {
		return t.flush(ctx)
	}
	return nil
}

// flush handles what is pending.
func (t *transaction) flush(ctx context.Context) error {
	for len(t.pending) > 0 {
		items := t.pending
		handle := func(i int) error {
			return items[i].sub.handle(t.contextOf(ctx, items[i]), t.tx, items[i].event, items[i].result)
		}
		var done int
		var failure, err error
		if t.careful {
			done, failure, err = savepoints{t.tx}.run(ctx, len(items), handle)
		} else if done, failure = first(len(items), handle); failure != nil {
			return &recordError{items[done], failure}
		}
		if err != nil {
			return err
		}
		for _, it := range items[:done] {
			it.outcome = handled
		}
		t.pending = nil
		if failure == nil {
			return nil
		}
		if t.careful && ctx.Err() == nil {
			failure = blame(failure, t.probe)
		}
		if ctx.Err() != nil || errs.KindOf(failure) == errs.Transient {
			return &recordError{items[done], failure}
		}
		t.fails(items[done], failure)
		for _, it := range items[done+1:] {
			if t.parked[it.lane()] {
				t.follow(it)
			} else {
				t.pending = append(t.pending, it)
			}
		}
	}
	return nil
}

// follow lets a record wait behind the head of its key.
func (t *transaction) follow(it *item) {
	t.followers = append(t.followers, retry.Follower{Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type})
	it.outcome = parked
}

// fails sends a record that failed for the first time to its retry topic, or gives it
// up where a retry cannot help.
func (t *transaction) fails(it *item, cause error) {
	if errs.KindOf(cause) == errs.Hopeless || it.sub.Retry.Attempts == 1 {
		t.bury(it, cause)
		return
	}
	f := retry.Failure{}.Failed(cause, stackOf(cause), t.now)
	it.outcome, it.failure = retrying, cause
	t.parked[it.lane()] = true
	t.heads = append(t.heads, retry.Head{
		Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type,
		Failure: f, NotBefore: t.now.Add(it.sub.Retry.Backoff.Wait(f.Attempts)),
	})
}

func (t *transaction) bury(it *item, cause error) {
	it.outcome, it.failure = deadLetter, cause
	if it.parks {
		t.parked[it.lane()] = true
	}
	t.letters = append(t.letters, retry.Letter{
		Record: it.original(), InboxID: it.id, EventID: it.event.envelope.ID, EventType: it.event.envelope.Type,
		Failure: retry.Failure{}.Failed(cause, stackOf(cause), t.now), Parks: it.parks,
	})
}

// buryBare gives a record up whose failure could not be stored with its bytes: the dead
// letter says where it lies. A key that is parked already stays with what parks it.
func (t *transaction) buryBare(it *item) {
	it.outcome, it.failure = deadLetter, unstored(it.cause, it.bare)
	l := retry.Letter{
		Record: it.original().Bare(), InboxID: it.id, EventType: it.sub.Type.Name,
		Failure: retry.Failure{}.Failed(it.failure, nil, t.now), Parks: it.parks && !t.parked[it.lane()],
	}
	if it.parks {
		t.parked[it.lane()] = true
	}
	t.letters = append(t.letters, l)
}

// unstored is why a record was given up, and why its dead letter has none of its bytes.
func unstored(cause, bare error) error {
	return errs.New(errs.KindOf(cause), "%w; its bytes, which lie in Kafka, could not be stored: %w", cause, bare)
}

// blame is errs.Transient for a failure in doubt where a harmless write fails as well: then
// the environment is to blame, which spends no attempts.
func blame(failure error, probe func() error) error {
	if !postgres.InDoubt(failure) {
		return failure
	}
	return postgres.Blame(failure, probe())
}

// close writes what was decided.
func (t *transaction) close(ctx context.Context) error {
	if err := t.store.Park(ctx, t.tx, t.heads...); err != nil {
		return err
	}
	for _, l := range t.letters {
		if _, err := t.store.Bury(ctx, t.tx, l); err != nil {
			return err
		}
	}
	return t.store.Follow(ctx, t.tx, t.followers...)
}
