package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/retry"
)

// follower is the next record of a parked key, and what is known about it.
type follower struct {
	retry.Follower
	it        *item
	promote   bool // it becomes the head and gets a transaction of its own
	given     bool // it is a copy of a record that was given up in the meantime
	notBefore time.Time
}

// plain reports whether nothing but the handler decides about the follower.
func (f follower) plain() bool { return !f.promote && !f.given && f.it.kind == subscribed }

// repaired reports whether an operator has changed the record's event id.
func (f follower) repaired() bool { return f.it.id != f.InboxID }

// react runs the reactions of records of one key as one set, up to the first that fails. done is how
// many have had their effect, and failure is the own failure of the record behind them. err is an
// error of the transaction, which cannot go on.
func (l *unparking) react(ctx context.Context, records []follower) (done int, failure, err error) {
	received, err := l.receivedBefore(ctx, records)
	if err != nil {
		return 0, nil, err
	}
	set := newSteps(l.order)
	for i, r := range records {
		r.it.step = step{}
		if received[r.it.id] || r.it.awaits() {
			continue
		}
		if failure = set.add(r.it); failure != nil {
			records = records[:i]
			break
		}
	}
	if err := set.begin(ctx, l.tx); err != nil {
		return 0, nil, err
	}
	for _, r := range records {
		if cause := l.apply(ctx, r.it, received[r.it.id]); cause != nil {
			failure = cause
			break
		}
		done++
	}
	if err := set.save(ctx, l.tx); err != nil {
		return 0, nil, err
	}
	return done, failure, l.receive(ctx, records[:done])
}

// apply decides about one record of a set.
func (l *unparking) apply(ctx context.Context, it *item, receivedBefore bool) (failure error) {
	switch {
	case receivedBefore:
		it.outcome = duplicate
		return nil
	case it.step.set == nil:
		return errs.New(errs.Transient, "%s %s: %w", it.typeName(), it.id, errNotCalled)
	}
	it.outcome = handled
	it.committed, failure = it.step.decide(l.contextOf(ctx, it))
	return failure
}

// receivedBefore returns the ids of repaired records that have arrived as other records, too. A
// record that no operator has repaired has had its inbox row since its first attempt.
func (l *unparking) receivedBefore(ctx context.Context, records []follower) (map[uuid.UUID]bool, error) {
	var repaired []uuid.UUID
	for _, r := range records {
		if r.repaired() {
			repaired = append(repaired, r.it.id)
		}
	}
	if len(repaired) == 0 {
		return nil, nil
	}
	return inbox.Seen(ctx, l.tx, l.cfg.Group, repaired)
}

// receive inserts the inbox rows of repaired records that were handled. It comes after the reactions,
// because a record that fails leaves no row. When the event has arrived in another record in the
// meantime, the transaction has to be repeated.
func (l *unparking) receive(ctx context.Context, records []follower) error {
	var msgs []inbox.Message
	for _, r := range records {
		if r.repaired() && r.it.outcome == handled {
			msgs = append(msgs, inbox.Message{ID: r.it.id, Type: r.it.typeName()})
		}
	}
	if len(msgs) == 0 {
		return nil
	}
	fresh, err := inbox.Receive(ctx, l.tx, l.cfg.Group, msgs)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if !fresh[m.ID] {
			return errs.New(errs.Transient, "event %s has just arrived in another record", m.ID)
		}
	}
	return nil
}
