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

// releaseBatch is how many followers run in the transaction of the head before them.
// Each has a savepoint; see carefulBatch.
const releaseBatch = 50

// attempt makes a retry record's next attempt, in one transaction with what follows
// from it: the key moves on to its followers, to another attempt, or to a dead letter.
// A record that is not its key's head is left alone. An error means that something is
// down and the same attempt is to be made later.
func (r *retries) attempt(ctx context.Context, it *retryItem) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	h := it.head
	current, payload, err := r.store.Current(ctx, r.cfg.Pool, h)
	if err != nil {
		return err
	}
	if !current {
		r.metrics.records.WithLabelValues(it.record.Topic, "other", string(stale)).Inc()
		return nil
	}
	if it.omitted {
		h.Value = payload
	}
	rec := itemOf(h.Record)
	rec.attempts = h.Attempts
	if !h.Skip {
		if err := r.decode(ctx, rec); err != nil {
			return err
		}
		if err := r.callFor(ctx, h, rec); err != nil {
			return err
		}
	}
	// A transaction that fails though no handler did (a constraint checked at its commit)
	// is made again without followers, then as the head's own failure.
	for _, solo := range []bool{false, true, true} {
		var l *lane
		err = postgres.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
			l = &lane{retries: r, tx: tx, savepoint: savepoint{tx: tx, on: true}, now: time.Now(), head: h, solo: solo}
			return l.run(ctx, rec)
		})
		if err == nil {
			r.cfg.Outbox.Wake()
			for _, it := range l.seen {
				r.count(it)
			}
			return nil
		}
		if errs.KindOf(err) == errs.Transient || ctx.Err() != nil {
			return err
		}
		if solo {
			rec.cause = err
		}
	}
	return err
}

// callFor makes the call of a head that needs one. Its failure is the record's, unless
// it is that something is down.
func (r *retries) callFor(ctx context.Context, h retry.Head, it *item) error {
	if it.kind != subscribed || it.sub.call == nil {
		return nil
	}
	if it.id != h.InboxID { // repaired: it may turn out to be an event that came another way
		seen, err := inbox.Seen(ctx, r.cfg.Pool, r.cfg.Group, []uuid.UUID{it.id})
		if err != nil || seen[it.id] {
			return err
		}
	}
	if err := r.call(ctx, it); err != nil {
		if errs.KindOf(err) == errs.Transient {
			return err
		}
		it.cause = err
	}
	return nil
}

// lane is a parked key in the transaction that moves it on.
type lane struct {
	*retries
	tx        pgx.Tx
	savepoint savepoint
	now       time.Time
	head      retry.Head
	solo      bool    // followers are not handled in this transaction
	seen      []*item // with their outcomes, for the metrics
}

// run handles the head, and when it is out of the way the followers.
func (l *lane) run(ctx context.Context, it *item) error {
	current, _, err := l.store.Take(ctx, l.tx, l.head)
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
		return l.follow(ctx)
	}
	failure, err := l.handle(ctx, it, l.head.InboxID)
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

// handle gives a record its effect. failure is the record's.
func (l *lane) handle(ctx context.Context, it *item, inboxID uuid.UUID) (failure, err error) {
	switch {
	case it.kind == foreign: // its subscription is gone since
		it.outcome = ignored
		return nil, nil
	case it.cause != nil: // rubbish still, or its call failed
		return it.cause, nil
	}
	it.outcome = handled
	return l.savepoint.run(ctx, func() error {
		if it.id != inboxID {
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
	})
}

// failed decides about a record that failed as h says: another attempt, or the end.
// moved is false when the key goes on without it.
func (l *lane) failed(ctx context.Context, it *item, h retry.Head, cause error) (moved bool, err error) {
	it.failure = cause
	if errs.KindOf(cause) == errs.Hopeless || h.Attempts >= it.sub.Retry.Attempts {
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
	followers, err := l.store.Followers(ctx, l.tx, key, releaseBatch+1)
	if err != nil {
		return err
	}
	var through []int64
	for i, f := range followers {
		it := itemOf(f.Record)
		notBefore, promote := l.mayFollow(ctx, i, it)
		stop := promote
		if promote {
			err = l.store.Replace(ctx, l.tx, key, l.head.ID, f.Head(notBefore))
		} else {
			stop, err = l.followOne(ctx, f, it)
		}
		if err != nil {
			return err
		}
		through = append(through, f.Position)
		if stop {
			return l.store.Drop(ctx, l.tx, through...)
		}
	}
	if err := l.store.Drop(ctx, l.tx, through...); err != nil {
		return err
	}
	return l.store.Release(ctx, l.tx, key)
}

// mayFollow decodes a follower. It is promoted to head, with a transaction of its own,
// when it needs a call, when it cannot be decoded now, or when this one takes no more.
func (l *lane) mayFollow(ctx context.Context, i int, it *item) (notBefore time.Time, promote bool) {
	if l.solo || i == releaseBatch {
		return l.now, true
	}
	if err := l.decode(ctx, it); err != nil {
		return l.now.Add(l.cfg.Backoff.Wait(1)), true // it says so itself when it is the head
	}
	return l.now, it.kind == subscribed && it.sub.call != nil
}

// followOne handles a follower; stop is true when the key does not go on behind it.
func (l *lane) followOne(ctx context.Context, f retry.Follower, it *item) (stop bool, err error) {
	failure, err := l.handle(ctx, it, f.InboxID)
	if err != nil {
		return false, err
	}
	if failure == nil {
		l.seen = append(l.seen, it)
		return false, l.resolve(ctx, it, f.DeadLetter)
	}
	if errs.KindOf(failure) == errs.Transient {
		h := f.Head(l.now.Add(patience(l.cfg.Backoff, 1, failure)))
		return true, l.store.Replace(ctx, l.tx, l.head.Lane(), l.head.ID, h)
	}
	l.seen = append(l.seen, it)
	h := f.Head(l.now)
	h.Failure = h.Failed(failure, stackOf(failure), l.now)
	return l.failed(ctx, it, h, failure)
}
