package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// databaseTimeout bounds one batch's transaction. Handlers take milliseconds, so this leaves time
// for a database that is merely slow.
const databaseTimeout = 30 * time.Second

// recordError names the record at which a transaction failed.
type recordError struct {
	*item
	error
}

func (e *recordError) Unwrap() error { return e.error }

// transact commits the batch. A record that needs something that is down is left out, with all
// records behind it on its partition, and the rest is tried again. When a write of the whole set
// fails, halving finds the record at fault: see [search].
func (c *Consumer) transact(ctx context.Context, portions []portion, started time.Time) {
	var s search
	for len(portions) > 0 {
		part, rest := split(portions, s.size(size(portions)))
		began := time.Now()
		err := c.attempt(ctx, part)
		if err == nil {
			c.pace.took(size(part), time.Since(began))
			s.good(size(part))
			c.committed(part, started)
			portions = rest
			continue
		}
		if elsewhere, ok := errors.AsType[*misplaced](err); ok {
			portions, s = c.rewind(portions, elsewhere), search{}
			continue
		}
		if errors.Is(err, errWithout) {
			continue
		}
		at, own := errors.AsType[*recordError](err)
		if !own {
			err = postgres.Settle(ctx, c.cfg.Pool, err)
		}
		switch {
		case ctx.Err() != nil, !own && errs.KindOf(err) == errs.Transient && !s.again(err):
			// No single record is at fault: the database is down, or ctx has ended.
			c.later(portions, err)
			return
		case own:
			at.call, at.result = unseen, nil // what it waits for may make another answer
			wait := at.error
			if errors.Is(wait, errNotCalled) && !at.surprise {
				at.surprise, wait = true, nil
			}
			portions, s = c.cut(portions, at.item, wait), search{}
		case errs.KindOf(err) == errs.Transient:
			// Another writer was faster. What it wrote is read again.
		case size(part) > 1:
			s.bad(size(part))
		default:
			only := part[0].items()[0]
			s = search{}
			switch {
			case only.cause == nil:
				only.cause = err
			case only.bare == nil:
				only.bare = err
			default:
				// The database accepts other writes, but not even this record's place.
				if only.bare = nil; only.kind != poison {
					only.cause = nil
				}
				c.later(portions, fmt.Errorf("record %s cannot be stored as a dead letter; an operator can have it skipped: %w", only.place().Place(), err))
				return
			}
		}
	}
}

// size is the number of records in a batch.
func size(portions []portion) int {
	n := 0
	for _, s := range portions {
		n += s.n
	}
	return n
}

// later makes all partitions of a batch wait.
func (c *Consumer) later(portions []portion, err error) {
	c.log.Warn("batch not committed; all of it will be tried again", "error", err)
	for _, s := range portions {
		c.postpone(s.q, err)
		s.q.trouble = fmt.Errorf("batch not committed: %w", err)
	}
}

// attempt runs the batch's transaction. The number of its statements does not depend on the number
// of its records, as long as none of them fails. A write that fails may be known only when the commit
// returns.
func (c *Consumer) attempt(ctx context.Context, portions []portion) error {
	// Without the timeout, a connection that died silently would block the loop, and with it the
	// partitions, until the operating system closes it after a quarter of an hour.
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	var items []*item
	for _, s := range portions {
		items = append(items, s.items()...)
	}
	err := postgres.InPipeline(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		t := &transaction{Consumer: c, tx: tx, now: time.Now(), steps: newSteps(c.order)}
		if err := t.open(ctx, portions, items); err != nil {
			return err
		}
		for _, it := range items {
			if err := t.prepare(ctx, it); err != nil {
				return err
			}
		}
		if err := t.steps.begin(ctx, tx); err != nil {
			return err
		}
		for _, it := range items {
			if err := t.apply(ctx, it); err != nil {
				return err
			}
		}
		if err := t.steps.save(ctx, tx); err != nil {
			return err
		}
		return t.close(ctx)
	})
	if err != nil && c.without(err) {
		return errWithout
	}
	if err != nil && ctx.Err() != nil {
		return errs.New(errs.Transient, "the database took too long: %v", err) // no record is at fault
	}
	return err
}

// errWithout is the error of a transaction that can be repeated without what failed.
var errWithout = errors.New("the transaction is repeated without what failed")

func (c *Consumer) without(err error) bool { return c.cfg.Without != nil && c.cfg.Without(err) }

// transaction is one attempt to commit a batch: what was received, the parked keys, the reactions of all
// records as sets of steps, and then what was decided without a reaction.
type transaction struct {
	*Consumer
	tx    pgx.Tx
	now   time.Time
	steps *steps

	parked map[retry.Key]bool
	given  map[retry.Place]bool // given up before, although fresh to the inbox, which has forgotten them

	followers []retry.Follower
	heads     []retry.Head
	letters   []retry.Letter
}

// open finds out which records are fresh and then reads which keys are parked. The order matters, see
// retry.Store.Parked.
func (t *transaction) open(ctx context.Context, portions []portion, items []*item) error {
	if err := t.receive(ctx, portions, items); err != nil {
		return err
	}
	var keys []retry.Key
	var fresh []retry.Record
	for _, it := range items {
		if it.kind == foreign {
			continue
		}
		if it.parks {
			keys = append(keys, it.parkedKey())
		}
		if it.fresh {
			fresh = append(fresh, it.place())
		}
	}
	var err error
	if t.parked, err = t.store.Parked(ctx, t.tx, true, keys); err != nil {
		return err
	}
	t.given, err = t.store.GivenUp(ctx, t.tx, fresh)
	return err
}

// prepare decides about a record for which no earlier record of the batch matters, and gives every
// record that may have a reaction its place in the set. An error ends the transaction.
func (t *transaction) prepare(ctx context.Context, it *item) error {
	it.outcome, it.step = "", step{}
	switch {
	case it.skip:
		it.outcome = skipped
		return t.store.Skipped(ctx, t.tx, it.place())
	case it.kind == foreign:
		it.outcome = it.ignored()
		return nil
	case !it.fresh:
		it.outcome = duplicate
		return nil
	case t.given[it.place().Place()]:
		it.outcome = skipped
		return nil
	case it.kind == poison, it.cause != nil, t.parked[it.parkedKey()]:
		return nil
	case it.call == barred:
		// The loop found it a duplicate, parked or given up, and the transaction does not: that
		// changed in between. The next try makes the call.
		return &recordError{it, errs.New(errs.Transient, "%s %s: %w", it.typeName(), it.id, errNotCalled)}
	}
	it.cause = t.steps.add(it)
	return nil
}

// apply decides about one record that prepare left open. An error ends the transaction.
func (t *transaction) apply(ctx context.Context, it *item) error {
	switch {
	case it.outcome != "":
		return nil
	case it.bare != nil:
		t.buryBare(it)
		return nil
	case it.parks && t.parked[it.parkedKey()]:
		t.follow(it)
		return nil
	case it.kind == poison:
		t.bury(it, it.cause)
		return nil
	case it.cause != nil: // its call failed, or its commit
		t.fails(it, it.cause)
		return nil
	}
	committed, failure := it.step.decide(t.contextOf(ctx, it))
	switch {
	case failure == nil:
		it.outcome, it.committed = handled, committed
	case ctx.Err() != nil, errs.KindOf(failure) == errs.Transient:
		return &recordError{it, failure}
	default:
		t.fails(it, failure)
	}
	return nil
}

// follow makes a record wait behind the head of its key.
func (t *transaction) follow(it *item) {
	t.followers = append(t.followers, retry.Follower{Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type})
	it.outcome = parked
}

// fails sends a record that failed for the first time to its retry topic, or gives it up where a
// retry cannot help.
func (t *transaction) fails(it *item, cause error) {
	if errs.KindOf(cause) == errs.Hopeless || it.sub.Retry.Attempts == 1 {
		t.bury(it, cause)
		return
	}
	f := retry.Failure{}.Failed(cause, stackOf(cause), t.now)
	it.outcome, it.failure = retrying, cause
	t.parked[it.parkedKey()] = true
	t.heads = append(t.heads, retry.Head{
		Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type,
		Failure: f, NotBefore: t.now.Add(it.sub.Retry.Backoff.Wait(f.Attempts)),
	})
}

func (t *transaction) bury(it *item, cause error) {
	it.outcome, it.failure = deadLetter, cause
	if it.parks {
		t.parked[it.parkedKey()] = true
	}
	t.letters = append(t.letters, retry.Letter{
		Record: it.original(), InboxID: it.id, EventID: it.event.envelope.ID, EventType: it.event.envelope.Type,
		Failure: retry.Failure{}.Failed(cause, stackOf(cause), t.now), Parks: it.parks,
	})
}

// buryBare gives up a record whose failure could not be stored with its bytes. The dead letter
// names the record's place. A key that is parked already stays parked by its present head.
func (t *transaction) buryBare(it *item) {
	it.outcome, it.failure = deadLetter, unstored(it.cause, it.bare)
	l := retry.Letter{
		Record: it.original().Bare(), InboxID: it.id, EventType: it.sub.Type.Name,
		Failure: retry.Failure{}.Failed(it.failure, nil, t.now), Parks: it.parks && !t.parked[it.parkedKey()],
	}
	if it.parks {
		t.parked[it.parkedKey()] = true
	}
	t.letters = append(t.letters, l)
}

// unstored returns why a record was given up, and why its dead letter has none of its bytes.
func unstored(cause, bare error) error {
	return errs.New(errs.KindOf(cause), "%w; its bytes, which lie in Kafka, could not be stored: %w", cause, bare)
}

// close writes what was decided.
func (t *transaction) close(ctx context.Context) error {
	if err := t.receiveFailed(ctx); err != nil {
		return err
	}
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
