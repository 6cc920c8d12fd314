package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/retry"
)

// errNotCalled is in the chain of a decision's error when a call is due for the record in the state that
// the transaction has locked, and none was made.
var errNotCalled = errors.New("a call is due and was not made")

// hearAnswers notes what became of calls. A call that failed by its own record's fault leaves the
// record as failed. When a call has to wait, no further call of its queue is made ahead of the head's.
// A head whose call has to wait makes its partition wait. What it waits for is not part of this
// system, so it is no reason not to be ready.
func (c *Consumer) hearAnswers() {
	for _, a := range c.calls.take() {
		it := a.it
		// Its partition was taken away, or an operator had the record skipped.
		gone := c.backlog.queues[a.q.topicPartition] != a.q || !slices.Contains(a.q.items, it)
		it.call = unseen
		switch {
		case gone || a.undone:
		case a.err == nil:
			it.call, it.result, it.surprise = answered, a.result, false
		case errs.KindOf(a.err) != errs.Transient:
			it.cause = a.err
		case a.q.items[0] == it:
			c.refused(a.q)
			c.waits(a.q, it, a.err)
			a.q.trouble = nil
		default:
			c.refused(a.q)
			it.refused = a.err
			it.due, _ = c.cfg.Backoff.after(0, a.err)
		}
	}
}

// refused keeps a queue from further calls ahead of its head's.
func (c *Consumer) refused(q *queue) {
	q.headOnly = true
	c.calls.cancel(q)
}

// startCalls finds the records of due queues for which a call is due, and starts their calls. The
// states that decide about it are loaded by one query per model.
func (c *Consumer) startCalls(ctx context.Context, due []*queue) {
	for _, q := range c.calls.queues() {
		if c.backlog.queues[q.topicPartition] != q {
			c.calls.cancel(q)
		}
	}
	looked := c.unseen(due)
	if len(looked) == 0 {
		return
	}
	wanted, err := c.wanted(ctx, looked)
	if err == nil {
		wanted, err = c.unbarred(ctx, wanted)
	}
	if err != nil {
		c.log.Warn("no calls are made: the database does not answer; they will be tried again", "error", err)
		for _, cl := range looked {
			cl.it.call = unseen
			c.postpone(cl.q, err)
			cl.q.trouble = fmt.Errorf("calls not made: %w", err)
		}
		return
	}
	for _, cl := range wanted {
		cl.it.call = calling
	}
	c.calls.start(wanted)
}

// unseen returns the records that may need a call and were not looked at: the heads first, then those
// behind them in turn. A record with an uncommitted record of its key before it is left out, because
// its call has to see what that record commits. Across partitions only a head may share its key with a
// call that is under way, because no partition waits for another. A head whose call had to wait when
// it was made ahead waits for the rest of that time.
func (c *Consumer) unseen(due []*queue) []call {
	if !c.canCall {
		return nil
	}
	underway := map[string]bool{}
	for _, q := range c.backlog.queues {
		for _, it := range q.items {
			if it.call == calling || it.call == answered {
				underway[string(it.record.Key)] = true
			}
		}
	}
	byQueue := make([][]call, len(due))
	for i, q := range due {
		if head := q.items[0]; head.refused != nil {
			err := head.refused
			if head.refused = nil; head.due.After(time.Now()) {
				c.waits(q, head, err)
				q.due, q.trouble = head.due, nil
				continue
			}
		}
		before := map[string]bool{}
		for j, it := range q.items[:min(len(q.items), c.pace.size)] {
			if it.kind == undecoded || j > 0 && q.headOnly {
				break
			}
			key := string(it.record.Key)
			if it.awaits() && it.call == unseen && it.refused == nil && !before[key] && (j == 0 || !underway[key]) {
				byQueue[i] = append(byQueue[i], call{q: q, it: it})
				underway[key] = true
			}
			before[key] = before[key] || it.kind != foreign
		}
	}
	var all []call
	for turn, more := 0, true; more; turn++ {
		more = false
		for _, calls := range byQueue {
			if turn < len(calls) {
				all, more = append(all, calls[turn]), true
			}
		}
	}
	return all
}

// wanted returns the calls that are due in the present states.
func (c *Consumer) wanted(ctx context.Context, looked []call) ([]call, error) {
	looking, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	keys, looks := map[any][]string{}, map[any]Subscription{}
	for _, cl := range looked {
		m := cl.it.sub.model
		keys[m], looks[m] = append(keys[m], string(cl.it.record.Key)), cl.it.sub
	}
	seen, states := time.Now(), map[any]any{}
	for m, sub := range looks {
		err := guard(func() (err error) {
			states[m], err = sub.look(looking, c.cfg.Pool, keys[m])
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var wanted []call
	for _, cl := range looked {
		do, err := c.callOf(ctx, cl.it, states[cl.it.sub.model])
		switch {
		case err != nil:
			cl.it.cause = err
		case do == nil:
			cl.it.call = notDue
		default:
			cl.do, cl.seen = do, seen
			wanted = append(wanted, cl)
		}
	}
	return wanted, nil
}

// callOf returns the record's call in the given states of its model, or nil when none is due.
func (c *Consumer) callOf(ctx context.Context, it *item, states any) (do func() (any, error), err error) {
	err = guard(func() error {
		made, err := it.sub.call(states, it.event)
		if made != nil {
			ctx := c.contextOf(ctx, it)
			do = func() (any, error) { return made(ctx) }
		}
		return err
	})
	return do, err
}

// unbarred leaves out the calls that are not needed, although they are due by the state. A redelivered
// record has had its call. A record whose key is parked is not handled now, and a record that was
// given up is never handled. Looking first avoids needless calls to the outside world. Only what the
// transaction finds decides.
func (c *Consumer) unbarred(ctx context.Context, wanted []call) ([]call, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	ids, keys, places := make([]uuid.UUID, len(wanted)), make([]retry.Key, len(wanted)), make([]retry.Record, len(wanted))
	for i, cl := range wanted {
		ids[i], keys[i], places[i] = cl.it.id, cl.it.parkedKey(), cl.it.place()
	}
	received, err := inbox.Seen(ctx, c.cfg.Pool, c.cfg.Group, ids)
	if err != nil {
		return nil, err
	}
	parked, err := c.store.Parked(ctx, c.cfg.Pool, false, keys)
	if err != nil {
		return nil, err
	}
	given, err := c.store.GivenUp(ctx, c.cfg.Pool, places)
	if err != nil {
		return nil, err
	}
	var free []call
	for i, cl := range wanted {
		if received[ids[i]] || parked[keys[i]] || given[places[i].Place()] {
			cl.it.call = barred
			continue
		}
		free = append(free, cl)
	}
	return free, nil
}

// callNow makes one record's call, if it is due, and returns its error.
func (c *Consumer) callNow(ctx context.Context, it *item) error {
	return guard(func() error {
		states, err := it.sub.look(ctx, c.cfg.Pool, []string{string(it.record.Key)})
		if err != nil {
			return err
		}
		do, err := c.callOf(ctx, it, states)
		if err != nil || do == nil {
			it.call = notDue
			return err
		}
		if it.result, err = do(); err == nil {
			it.call = answered
		}
		return err
	})
}

// finishCalls waits for the calls in flight and commits what they make possible, until work ends. A
// call that is cut off is made again by the next owner of its partition.
func (c *Consumer) finishCalls(ctx, work context.Context) {
	c.canCall = false
	c.calls.cancel(nil)
	for c.calls.expects > 0 && work.Err() == nil {
		wait, end := context.WithCancel(work)
		c.calls.onAnswer(end)
		<-wait.Done()
		end()
		c.poll(ctx) // ctx has ended: it waits for nothing, and no partition is taken away until letGo
		c.batch(work)
		letGo(c.client, c.backlog.queues)
	}
}
