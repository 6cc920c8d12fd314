package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// releaseBatch is how many followers run in the transaction of the head before them. It
// bounds how long the key's row is held, for which new records of the key wait.
const releaseBatch = 100

// lane is a parked key in the transaction that moves it on.
type lane struct {
	*retries
	tx   pgx.Tx
	now  time.Time
	head retry.Head
	solo bool    // followers are not handled in this transaction
	seen []*item // with their outcomes, for the metrics
}

// run handles the head, and when it is out of the way the followers.
func (l *lane) run(ctx context.Context, it *item) error {
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
	if failure != nil {
		failure = l.blame(ctx, failure)
	}
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

// handle gives the head its effect. failure is the record's.
func (l *lane) handle(ctx context.Context, it *item) (failure, err error) {
	if failure, settled := l.settle(it); settled {
		return failure, nil
	}
	_, failure, err = savepoints{l.tx}.run(ctx, 1, func(int) error { return l.effect(ctx, it, l.head.InboxID) })
	return failure, err
}

// blame is blame of a transaction of retries.
func (l *lane) blame(ctx context.Context, failure error) error {
	return blame(failure, func() error { return postgres.Probe(ctx, l.tx) })
}

// settle tells what needs no handler, and what is wrong with it if anything is.
func (l *lane) settle(it *item) (failure error, settled bool) {
	switch {
	case it.kind == foreign: // its subscription is gone since
		it.outcome = ignored
		return nil, true
	case it.cause != nil: // rubbish still, or its call failed
		return it.cause, true
	}
	return nil, false
}

// effect runs a record's handler.
func (l *lane) effect(ctx context.Context, it *item, inboxID uuid.UUID) error {
	it.outcome = handled
	if it.id != inboxID { // repaired; the event it is now may have come another way
		fresh, err := inbox.Receive(ctx, l.tx, l.cfg.Group, []inbox.Message{{ID: it.id, Type: it.typeName()}})
		if err != nil {
			return err
		}
		if !fresh[it.id] {
			it.outcome = duplicate
			return nil
		}
	}
	if it.sub.call != nil && !it.called {
		return errs.New(errs.Transient, "%s %s was not called for", it.typeName(), it.id)
	}
	return it.sub.handle(l.contextOf(ctx, it), l.tx, it.event, it.result)
}

// failed decides about a record that failed as h says: another attempt, or the end.
// moved is false when the key goes on without it.
func (l *lane) failed(ctx context.Context, it *item, h retry.Head, cause error) (moved bool, err error) {
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
	return true, l.store.Replace(ctx, l.tx, h.Lane(), l.head.ID, h)
}

// resolve closes the dead letter that a record was, if it was one.
func (l *lane) resolve(ctx context.Context, it *item, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	return l.store.Resolve(ctx, l.tx, id, string(it.outcome))
}

// follow lets the records that waited behind the head go on in order, until one cannot.
func (l *lane) follow(ctx context.Context) error {
	key := l.head.Lane()
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
		for i+n < len(followers) && n < savepointRecords && followers[i+n].plain() {
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

// follower is a record whose turn has come, and what it is.
type follower struct {
	retry.Follower
	it        *item
	promote   bool // it becomes the head, and has a transaction of its own
	given     bool // it is a copy of a record that was given up meanwhile
	notBefore time.Time
}

// plain tells that a handler alone decides about it.
func (f follower) plain() bool { return !f.promote && !f.given && f.it.kind == subscribed }

// look decodes a follower. It is promoted when it needs a call, when it cannot be
// decoded now, or when this transaction takes no more. One that was given up, and came again
// while its key was parked, needs nothing: its dead letter decides.
func (l *lane) look(ctx context.Context, i int, waiting retry.Follower, given map[retry.Place]bool) follower {
	f := follower{Follower: waiting, it: itemOf(waiting.Record), notBefore: l.now}
	if f.given = waiting.DeadLetter == uuid.Nil && given[waiting.Place()]; f.given {
		return f
	}
	switch err := l.decode(ctx, f.it); {
	case err != nil: // it says so itself when it is the head
		f.promote, f.notBefore = true, l.now.Add(l.cfg.Backoff.Wait(1))
	case l.solo, i == releaseBatch, f.it.kind == subscribed && f.it.sub.call != nil:
		f.promote = true
	}
	return f
}

// handleSome handles followers that need nothing but their handlers. done is how many
// are out of the way; stop is true when the key does not go on behind the last of them.
func (l *lane) handleSome(ctx context.Context, followers []follower) (done int, stop bool, err error) {
	n, failure, err := savepoints{l.tx}.run(ctx, len(followers), func(i int) error {
		return l.effect(ctx, followers[i].it, followers[i].InboxID)
	})
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
	stop, err = l.followerFailed(ctx, followers[n], l.blame(ctx, failure))
	return n + 1, stop, err
}

// decide is about a follower that no handler decides about.
func (l *lane) decide(ctx context.Context, f follower) (stop bool, err error) {
	if f.given {
		f.it.outcome = skipped
		l.seen = append(l.seen, f.it)
		return false, nil
	}
	if f.promote {
		return true, l.store.Replace(ctx, l.tx, l.head.Lane(), l.head.ID, f.Head(f.notBefore))
	}
	if failure, _ := l.settle(f.it); failure != nil {
		return l.followerFailed(ctx, f, failure)
	}
	l.seen = append(l.seen, f.it)
	return false, l.resolve(ctx, f.it, f.DeadLetter)
}

// followerFailed makes a follower the head that waits, or a dead letter.
func (l *lane) followerFailed(ctx context.Context, f follower, failure error) (stop bool, err error) {
	if errs.KindOf(failure) == errs.Transient {
		due, _ := l.cfg.Backoff.after(0, failure)
		return true, l.store.Replace(ctx, l.tx, l.head.Lane(), l.head.ID, f.Head(due))
	}
	l.seen = append(l.seen, f.it)
	h := f.Head(l.now)
	h.Failure = h.Failed(failure, stackOf(failure), l.now)
	return l.failed(ctx, f.it, h, failure)
}
