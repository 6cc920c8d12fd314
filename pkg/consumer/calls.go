package consumer

import (
	"slices"
	"sync"
	"time"
)

// callState is what is known about the call of a record whose subscription may need one.
type callState int

const (
	unseen   callState = iota // it was not looked at yet
	notDue                    // none was due when the loop looked; the transaction looks again
	barred                    // a redelivery, a parked key, given up: not handled now, so not called for
	calling                   // it waits for its turn, or is in flight
	answered                  // item.result is the answer
)

// staleAfter bounds the age of the state that a call sees. A call that has waited longer for its turn is
// looked at again.
const staleAfter = time.Second

// calls is the calls to the outside world. They run ahead of the transactions: while a record awaits
// its answer, only its own partition waits.
type calls struct {
	most    int            // in flight at once
	expects int            // handed over and not yet heard of; the loop's
	running sync.WaitGroup // the goroutines that make them

	mu       sync.Mutex
	queued   []call   // due, and waiting for their turn
	inFlight int      // goroutines
	answers  []answer // that the loop has not heard
	wake     func()   // called when there is an answer; nil: the loop does not wait
}

// call is one record's call.
type call struct {
	q    *queue
	it   *item
	do   func() (any, error)
	seen time.Time // when the state was read that the call sees
}

// answer is what became of a call.
type answer struct {
	call
	result any
	err    error
	undone bool // it was not made
}

func newCalls(most int) *calls { return &calls{most: most} }

// start makes calls, in this order, as soon as there is room for them.
func (c *calls) start(due []call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expects += len(due)
	c.queued = append(c.queued, due...)
	for range min(len(c.queued), c.most-c.inFlight) {
		c.inFlight++
		c.running.Go(c.work)
	}
}

// work makes queued calls until there are none.
func (c *calls) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.inFlight-- }()
	for len(c.queued) > 0 {
		next := c.queued[0]
		c.queued = c.queued[1:]
		c.mu.Unlock()
		a := answer{call: next}
		if a.undone = time.Since(next.seen) > staleAfter; !a.undone {
			a.err = guard(func() (err error) {
				a.result, err = next.do()
				return err
			})
		}
		c.mu.Lock()
		c.answer(a)
	}
}

// answer notes an answer. c.mu is locked.
func (c *calls) answer(answers ...answer) {
	c.answers = append(c.answers, answers...)
	if c.wake != nil && len(answers) > 0 {
		c.wake()
	}
}

// cancel takes back the calls of a queue that are not in flight, or of all queues when q is nil.
func (c *calls) cancel(q *queue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued = slices.DeleteFunc(c.queued, func(waiting call) bool {
		back := q == nil || waiting.q == q
		if back {
			c.answer(answer{call: waiting, undone: true})
		}
		return back
	})
}

// onAnswer sets what is called when there is an answer; nil: nothing.
func (c *calls) onAnswer(wake func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = wake
	if len(c.answers) > 0 && wake != nil {
		wake()
	}
}

// take returns the answers that the loop has not heard.
func (c *calls) take() []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := c.answers
	c.answers = nil
	c.expects -= len(answers)
	return answers
}

// queues returns the queues with calls that wait for their turn.
func (c *calls) queues() []*queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	var qs []*queue
	for _, cl := range c.queued {
		if !slices.Contains(qs, cl.q) {
			qs = append(qs, cl.q)
		}
	}
	return qs
}
