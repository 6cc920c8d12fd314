package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// errFailing ends a transaction without savepoints in which a handler failed.
var errFailing = errors.New("a record of the batch failed")

// transact commits the batch. It is tried without savepoints first; when a handler
// fails, the transaction is rolled back and made again with one before each record,
// so that a record's failure undoes that record alone, and the batches after it are
// made so from the start until one has no failure. That costs two round trips a record
// while something fails, and nothing otherwise.
func (c *Consumer) transact(ctx context.Context, shares []share, started time.Time) {
	failed, err := c.attempt(ctx, shares, c.careful || c.alone)
	if err != nil && !c.careful && !c.alone && ctx.Err() == nil && (errors.Is(err, errFailing) || errs.KindOf(err) != errs.Transient) {
		c.careful = true
		failed, err = c.attempt(ctx, shares, true)
	}
	if err == nil {
		c.careful, c.alone = failed || slices.ContainsFunc(shares, func(s share) bool { return s.cut }), false
		c.committed(shares, started)
		return
	}
	if ctx.Err() == nil && errs.KindOf(err) != errs.Transient {
		// No statement failed, the commit did: a constraint that is checked then. Whose
		// it is shows when each record has a transaction of its own.
		if only := single(shares); only != nil && only.cause == nil {
			only.cause = err
			if _, err := c.attempt(ctx, shares, true); err == nil {
				c.committed(shares, started)
				return
			}
			only.cause = nil
		}
		c.alone = true
	}
	// Not one record's fault: the database is away, or ctx has ended.
	c.log.Warn("batch not committed; all of it will be tried again", "error", err)
	for _, s := range shares {
		c.postpone(s.q, err)
		s.q.trouble = fmt.Errorf("batch not committed: %w", err)
	}
}

// single returns the one record of the batch, nil when there are more.
func single(shares []share) *item {
	if len(shares) == 1 && shares[0].n == 1 {
		return shares[0].items()[0]
	}
	return nil
}

// attempt makes the batch's transaction and tells whether it held a record that
// failed. With savepoints a share is cut where its partition has to wait.
func (c *Consumer) attempt(ctx context.Context, shares []share, savepoints bool) (failed bool, err error) {
	// A connection that died without a word would hold the loop, and with it the
	// partitions, until the system gives it up after a quarter of an hour.
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	var waiting []waiter
	err = postgres.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		t := &transaction{Consumer: c, tx: tx, savepoint: savepoint{tx: tx, on: savepoints}, now: time.Now()}
		if err := t.open(ctx, shares); err != nil {
			return err
		}
		waiting = waiting[:0]
		for i, s := range shares {
			for n, it := range s.items() {
				wait, err := t.apply(ctx, it)
				if err != nil {
					return err
				}
				if wait != nil {
					waiting = append(waiting, waiter{share: i, n: n, err: wait})
					t.forget(s.items()[n:])
					break
				}
			}
		}
		failed = t.failed
		return t.close(ctx)
	})
	if err != nil {
		if ctx.Err() != nil {
			err = errs.Wrap(errs.Transient, err, "the database took too long") // nobody's fault
		}
		return false, err
	}
	for _, w := range waiting {
		s := &shares[w.share]
		c.waits(s.q, s.items()[w.n], w.err)
		s.q.trouble = w.err
		s.n, s.cut = w.n, true
	}
	return failed, nil
}

// waiter is where a share was cut.
type waiter struct {
	share, n int
	err      error
}

// transaction is one attempt to commit a batch.
type transaction struct {
	*Consumer
	tx        pgx.Tx
	savepoint savepoint
	now       time.Time

	fresh     map[uuid.UUID]bool // received for the first time and not handled yet
	parked    map[retry.Key]bool
	followers []retry.Follower
	forgotten []uuid.UUID // received here, and to be received again
	failed    bool        // some record failed
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
	t.parked, err = t.store.Parked(ctx, t.tx, true, keys)
	return err
}

// apply gives one record its effect. wait is why its partition has to wait for it; err
// ends the transaction.
func (t *transaction) apply(ctx context.Context, it *item) (wait, err error) {
	if it.kind == foreign {
		it.outcome = ignored
		return nil, nil
	}
	if !t.fresh[it.id] {
		it.outcome = duplicate
		return nil, nil
	}
	t.fresh[it.id] = false // the same event may stand in the batch twice
	switch {
	case it.parks && t.parked[it.lane()]:
		t.followers = append(t.followers, retry.Follower{Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type})
		it.outcome = parked
		return nil, nil
	case it.kind == rubbish:
		return nil, t.bury(ctx, it, it.cause)
	case it.cause != nil: // its call failed, or its commit
		return nil, t.fails(ctx, it, it.cause)
	case it.sub.call != nil && !it.called:
		// The look before said duplicate or parked, and the transaction says neither: it
		// has changed in between. The next try makes the call.
		return t.hold(errs.New(errs.Transient, "%s %s was not called for", it.typeName(), it.id))
	}
	failure, err := t.savepoint.run(ctx, func() error {
		return it.sub.handle(t.contextOf(ctx, it), t.tx, it.event, it.result)
	})
	switch {
	case err != nil:
		return nil, err
	case failure == nil:
		it.outcome = handled
		return nil, nil
	case ctx.Err() != nil:
		return nil, failure // the batch's time is over
	case errs.KindOf(failure) == errs.Transient:
		return t.hold(failure)
	}
	return nil, t.fails(ctx, it, failure)
}

// hold lets the record's partition wait, which without savepoints takes another try.
func (t *transaction) hold(cause error) (wait, err error) {
	if !t.savepoint.on {
		return nil, fmt.Errorf("%w: %v", errFailing, cause)
	}
	return cause, nil
}

// fails sends a record that failed for the first time to its retry topic, or gives it
// up where a retry cannot help.
func (t *transaction) fails(ctx context.Context, it *item, cause error) error {
	t.failed = true
	if errs.KindOf(cause) == errs.Hopeless || it.sub.Retry.Attempts == 1 {
		return t.bury(ctx, it, cause)
	}
	f := retry.Failure{}.Failed(cause, stackOf(cause), t.now)
	it.outcome, it.failure = retrying, cause
	t.parked[it.lane()] = true
	return t.store.Park(ctx, t.tx, retry.Head{
		Record: it.original(), InboxID: it.id, EventType: it.event.envelope.Type,
		Failure: f, NotBefore: t.now.Add(it.sub.Retry.Backoff.Wait(f.Attempts)),
	})
}

func (t *transaction) bury(ctx context.Context, it *item, cause error) error {
	it.outcome, it.failure = deadLetter, cause
	if it.parks {
		t.parked[it.lane()] = true
	}
	_, err := t.store.Bury(ctx, t.tx, retry.Letter{
		Record: it.original(), InboxID: it.id, EventID: it.event.envelope.ID, EventType: it.event.envelope.Type,
		Failure: retry.Failure{}.Failed(cause, stackOf(cause), t.now), Parks: it.parks,
	})
	return err
}

// forget takes back the receipts of records that are left out of the batch.
func (t *transaction) forget(items []*item) {
	for i, it := range items {
		if it.kind != foreign && (i == 0 || t.fresh[it.id]) {
			t.forgotten = append(t.forgotten, it.id)
			t.fresh[it.id] = false
		}
	}
}

// close writes what was collected on the way.
func (t *transaction) close(ctx context.Context) error {
	if err := t.store.Follow(ctx, t.tx, t.followers...); err != nil {
		return err
	}
	return inbox.Forget(ctx, t.tx, t.cfg.Group, t.forgotten)
}
