package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/retry"
)

// releaseBatch is how many followers run in the transaction of the head before them. It bounds how
// long the key's row is locked, because new records of the key wait for that lock.
const releaseBatch = 100

// unparking is a parked key in the transaction that moves it on.
type unparking struct {
	*retries
	tx   pgx.Tx
	now  time.Time
	head retry.Head
	solo bool    // followers are not handled in this transaction
	seen []*item // with their outcomes, for the metrics
}

// run handles the head, and then the followers unless the head stays.
func (l *unparking) run(ctx context.Context, it *item) error {
	current, err := l.store.Take(ctx, l.tx, l.head)
	if err != nil {
		return err
	}
	l.seen = append(l.seen, it)
	if !current {
		it.outcome = stale
		return nil
	}
	if l.head.Skip {
		it.outcome = skipped
		if err := l.resolve(ctx, it, l.head.DeadLetter); err != nil {
			return err
		}
		return l.follow(ctx)
	}
	failure, err := l.handle(ctx, it)
	switch {
	case err != nil:
		return err
	case failure != nil && errs.KindOf(failure) == errs.Transient:
		return failure
	case failure != nil:
		h := l.head
		h.Failure = h.Failed(failure, stackOf(failure), l.now)
		moved, err := l.failed(ctx, it, h, failure)
		if err != nil || moved {
			return err
		}
		return l.follow(ctx)
	}
	if err := l.resolve(ctx, it, l.head.DeadLetter); err != nil {
		return err
	}
	return l.follow(ctx)
}

// handle runs the head's reaction. failure is the record's own failure, which has left nothing
// behind.
func (l *unparking) handle(ctx context.Context, it *item) (failure, err error) {
	if failure, settled := l.settle(it); settled {
		return failure, nil
	}
	_, failure, err = l.react(ctx, []follower{{Follower: retry.Follower{InboxID: l.head.InboxID}, it: it}})
	if err != nil {
		return nil, &recordError{it, err} // of no other record's write
	}
	return failure, nil
}

// settle reports whether a record needs no handler, and returns its failure if it has one.
func (l *unparking) settle(it *item) (failure error, settled bool) {
	switch {
	case it.kind == foreign: // its subscription was removed
		it.outcome = it.ignored()
		return nil, true
	case it.cause != nil: // still undecodable, or its call failed
		return it.cause, true
	}
	return nil, false
}

// failed decides about a record that failed as h describes: another attempt, or a dead letter.
// moved is false when the key goes on without the record.
func (l *unparking) failed(ctx context.Context, it *item, h retry.Head, cause error) (moved bool, err error) {
	it.failure = cause
	if it.bare != nil {
		h.Record = h.Bare()
		h.Message = retry.Failure{}.Failed(unstored(cause, it.bare), nil, l.now).Message
	}
	if errs.KindOf(cause) == errs.Hopeless || it.bare != nil || h.Attempts >= it.sub.Retry.Attempts {
		it.outcome = deadLetter
		_, moved, err = l.store.BuryHead(ctx, l.tx, l.head.ID, h, it.event.envelope.ID)
		return moved, err
	}
	it.outcome = retrying
	h.NotBefore = l.now.Add(it.sub.Retry.Backoff.Wait(h.Attempts))
	return true, l.store.Replace(ctx, l.tx, h.ParkedKey(), l.head.ID, h)
}

// resolve closes the dead letter that a record came from, if it came from one.
func (l *unparking) resolve(ctx context.Context, it *item, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	return l.store.Resolve(ctx, l.tx, id, string(it.outcome))
}

// follow handles the records that waited behind the head, in order, until one cannot be handled.
func (l *unparking) follow(ctx context.Context) error {
	key := l.head.ParkedKey()
	waiting, err := l.store.Followers(ctx, l.tx, key, releaseBatch+1)
	if err != nil {
		return err
	}
	records := make([]retry.Record, len(waiting))
	for i, f := range waiting {
		records[i] = f.Record
	}
	given, err := l.store.GivenUp(ctx, l.tx, records)
	if err != nil {
		return err
	}
	followers := make([]follower, len(waiting))
	through := make([]int64, 0, len(waiting))
	for i, f := range waiting {
		followers[i] = l.look(ctx, i, f, given)
	}
	for i, stop := 0, false; i < len(followers); {
		n := 0
		for i+n < len(followers) && followers[i+n].plain() {
			n++
		}
		done := 0
		if n > 0 {
			done, stop, err = l.handleSome(ctx, followers[i:i+n])
		} else {
			done = 1
			stop, err = l.decide(ctx, followers[i])
		}
		if err != nil {
			return err
		}
		for range done {
			through = append(through, followers[i].Position)
			i++
		}
		if stop {
			return l.store.Drop(ctx, l.tx, through...)
		}
	}
	if err := l.store.Drop(ctx, l.tx, through...); err != nil {
		return err
	}
	return l.store.Release(ctx, l.tx, key)
}

// look decodes a follower. The follower is promoted to head when it needs a call, when it cannot be
// decoded now, or when this transaction takes no more records. A follower that was given up, and
// was read again while its key was parked, needs no handler: its dead letter decides about it.
func (l *unparking) look(ctx context.Context, i int, waiting retry.Follower, given map[retry.Place]bool) follower {
	f := follower{Follower: waiting, it: itemOf(waiting.Record), notBefore: l.now}
	if f.given = waiting.DeadLetter == uuid.Nil && given[waiting.Place()]; f.given {
		return f
	}
	switch err := l.decode(ctx, f.it); {
	case err != nil: // as the head it reports the error itself
		f.promote, f.notBefore = true, l.now.Add(l.cfg.Backoff.Wait(1))
	case l.solo, i == releaseBatch, f.it.kind == subscribed && f.it.sub.call != nil:
		f.promote = true
	}
	return f
}

// handleSome handles followers that need nothing but their handlers. done is how many are out of
// the way. stop is true when the key does not go on behind the last of them.
func (l *unparking) handleSome(ctx context.Context, followers []follower) (done int, stop bool, err error) {
	n, failure, err := l.react(ctx, followers)
	if err != nil {
		return 0, false, err
	}
	for _, f := range followers[:n] {
		l.seen = append(l.seen, f.it)
		if err := l.resolve(ctx, f.it, f.DeadLetter); err != nil {
			return 0, false, err
		}
	}
	if failure == nil {
		return n, false, nil
	}
	stop, err = l.followerFailed(ctx, followers[n], failure)
	return n + 1, stop, err
}

// decide decides about a follower that needs no handler in this transaction.
func (l *unparking) decide(ctx context.Context, f follower) (stop bool, err error) {
	if f.given {
		f.it.outcome = skipped
		l.seen = append(l.seen, f.it)
		return false, nil
	}
	if f.promote {
		return true, l.store.Replace(ctx, l.tx, l.head.ParkedKey(), l.head.ID, f.Head(f.notBefore))
	}
	if failure, _ := l.settle(f.it); failure != nil {
		return l.followerFailed(ctx, f, failure)
	}
	l.seen = append(l.seen, f.it)
	return false, l.resolve(ctx, f.it, f.DeadLetter)
}

// followerFailed makes a failed follower the head that waits, or a dead letter.
func (l *unparking) followerFailed(ctx context.Context, f follower, failure error) (stop bool, err error) {
	if errs.KindOf(failure) == errs.Transient {
		due, _ := l.cfg.Backoff.after(0, failure)
		return true, l.store.Replace(ctx, l.tx, l.head.ParkedKey(), l.head.ID, f.Head(due))
	}
	l.seen = append(l.seen, f.it)
	h := f.Head(l.now)
	h.Failure = h.Failed(failure, stackOf(failure), l.now)
	return l.failed(ctx, f.it, h, failure)
}
