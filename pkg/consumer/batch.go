package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/telemetry"
)

// limit is how many records the next batch may hold.
func (c *Consumer) limit() int {
	limit := c.cfg.MaxBatch
	if c.careful {
		limit = min(carefulBatch, limit)
	}
	if c.narrow > 0 {
		limit = min(c.narrow, limit)
	}
	return limit
}

// batch handles what is due in one transaction.
func (c *Consumer) batch(ctx context.Context) {
	started := time.Now()
	due := c.backlog.due(started)
	c.passOver(ctx, due)
	c.decodeAll(ctx, due)
	shares := take(due, c.limit())
	if len(shares) == 0 {
		c.settle()
		return
	}
	shares = c.callAll(ctx, shares)
	if len(shares) > 0 {
		c.transact(ctx, shares, started)
	}
	c.settle()
}

// passOver finds the heads that waited before and that an operator wants skipped. It is asked
// only for them: a wish about any other record has no effect.
func (c *Consumer) passOver(ctx context.Context, due []*queue) {
	var places []retry.Place
	for _, q := range due {
		if q.waiting {
			places = append(places, q.items[0].place().Place())
		}
	}
	if len(places) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	asked, err := c.store.Asked(ctx, c.cfg.Pool, places...)
	if err != nil {
		return // the batch will meet the same and say so
	}
	for _, q := range due {
		if head := q.items[0]; q.waiting && asked[head.place().Place()] {
			head.kind, head.skip, head.parks = foreign, true, false
			c.log.Warn("record skipped, as an operator asked", "record", head.place().Place().String())
		}
	}
}

// callAll makes the calls of the batch, several at once: take has seen to it that no
// two of them are about one key. A queue is cut at the first call that has to wait for
// something that is down; a call that failed for its own record's sake leaves the
// record in the batch, as failed.
func (c *Consumer) callAll(ctx context.Context, shares []share) []share {
	var calling []*item
	for _, s := range shares {
		for _, it := range s.items() {
			if it.kind == subscribed && it.sub.call != nil {
				calling = append(calling, it)
			}
		}
	}
	if len(calling) == 0 {
		return shares
	}
	if err := c.skipCalls(ctx, calling); err != nil {
		c.log.Warn("inbox not readable; batch will be tried again", "error", err)
		for _, s := range shares {
			c.postpone(s.q, err)
			s.q.trouble = fmt.Errorf("inbox not readable: %w", err)
		}
		return nil
	}
	failures := make([]error, len(calling))
	var g errgroup.Group
	g.SetLimit(c.cfg.CallConcurrency)
	for i, it := range calling {
		if !it.skipCall {
			g.Go(func() error {
				failures[i] = c.call(ctx, it)
				return nil
			})
		}
	}
	_ = g.Wait() // the functions report through failures
	for i, it := range calling {
		switch err := failures[i]; {
		case err == nil:
		case errs.KindOf(err) == errs.Transient:
			shares = c.cut(shares, it, err, false)
		default:
			it.cause = err
		}
	}
	return shares
}

// skipCalls finds out whose call need not be made. A redelivered record has had its
// call, and one whose key is parked will not be handled now, nor ever one that was given up:
// asking first spares the outside world. Only what the transaction finds decides.
func (c *Consumer) skipCalls(ctx context.Context, calling []*item) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	ids, keys := make([]uuid.UUID, len(calling)), make([]retry.Key, len(calling))
	for i, it := range calling {
		ids[i], keys[i] = it.id, it.lane()
	}
	seen, err := inbox.Seen(ctx, c.cfg.Pool, c.cfg.Group, ids)
	if err != nil {
		return err
	}
	parked, err := c.store.Parked(ctx, c.cfg.Pool, false, keys)
	if err != nil {
		return err
	}
	places := make([]retry.Record, len(calling))
	for i, it := range calling {
		places[i] = it.place()
	}
	given, err := c.store.GivenUp(ctx, c.cfg.Pool, places)
	if err != nil {
		return err
	}
	for i, it := range calling {
		it.called, it.result, it.cause = false, nil, nil
		it.skipCall = seen[it.id] || parked[it.lane()] || given[places[i].Place()]
	}
	return nil
}

// call makes a record's call to the outside world.
func (c *Consumer) call(ctx context.Context, it *item) error {
	err := guard(func() (err error) {
		it.result, err = it.sub.call(c.contextOf(ctx, it), it.event)
		return err
	})
	it.called = err == nil
	return err
}

// cut takes a record that has to wait, and all behind it, out of the batch. What a call
// waits for is not ours; anything else is a reason not to be ready.
func (c *Consumer) cut(shares []share, waiting *item, err error, ours bool) []share {
	var rest []share
	for _, s := range shares {
		if i := slices.Index(s.items(), waiting); i >= 0 {
			// Its predecessors commit meanwhile; it is then the head of its queue.
			c.waits(s.q, waiting, err)
			s.q.trouble = nil
			if ours {
				s.q.trouble = waitingFor(waiting, err)
			}
			s.n, s.cut = i, true
		}
		if s.n > 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// committed marks what the database holds and moves the queues on.
func (c *Consumer) committed(shares []share, started time.Time) {
	total := 0
	for _, s := range shares {
		for _, it := range s.items() {
			c.count(it)
		}
		c.client.MarkCommitRecords(s.q.items[s.n-1].record)
		s.q.items = slices.Clone(s.q.items[s.n:]) // let go of the records handled
		if !s.cut {
			s.q.waiting, s.q.attempts, s.q.due, s.q.trouble = false, 0, time.Time{}, nil
		}
		total += s.n
	}
	c.cfg.Outbox.Wake()
	c.metrics.batch.Observe(float64(total))
	c.metrics.seconds.Observe(time.Since(started).Seconds())
}

// count counts and logs what the committed transaction made of a record.
func (c *Consumer) count(it *item) {
	c.metrics.records.WithLabelValues(it.record.Topic, it.typeName(), string(it.outcome)).Inc()
	for _, header := range it.replaced {
		c.metrics.replaced.WithLabelValues(it.record.Topic, header).Inc()
	}
	switch it.outcome {
	case retrying:
		c.failed(it, it.failure, slog.LevelWarn, "record failed; it will be tried again, and its key waits")
	case deadLetter:
		c.failed(it, it.failure, slog.LevelError, "record given up: dead letter")
	}
}

// failed counts and logs that a record was tried and failed.
func (c *Consumer) failed(it *item, err error, level slog.Level, what string) {
	kind := errs.KindOf(err).String()
	c.metrics.failures.WithLabelValues(it.record.Topic, it.typeName(), kind).Inc()
	c.log.Log(context.Background(), level, what,
		"topic", it.record.Topic, "partition", it.record.Partition, "offset", it.record.Offset,
		"type", it.typeName(), "event_id", it.id, "order_id", shortened(it.record.Key),
		"correlation_id", it.event.envelope.CorrelationID, "kind", kind, "error", err)
}

// waitingFor says which record waits, in the form an operator needs to have it skipped.
func waitingFor(it *item, err error) error {
	return fmt.Errorf("record %s waits: %w", it.place().Place(), err)
}

// waits lets a partition wait for what its head needs and is down.
func (c *Consumer) waits(q *queue, it *item, err error) {
	c.failed(it, err, slog.LevelWarn, "record has to wait, and its partition with it")
	c.postpone(q, err)
}

// postpone lets a queue wait before its head is tried again: with backoff, or as long
// as the error says, where it knows (an open breaker does).
func (c *Consumer) postpone(q *queue, err error) {
	q.waiting = true
	q.due, q.attempts = c.cfg.Backoff.after(q.attempts, err)
}

// settle pauses the fetching of partitions that wait and resumes the others, so
// that a backlog stays in Kafka and not in this process. The member stays in the
// group either way. What they wait for is told by Ready.
func (c *Consumer) settle() {
	paused := map[topicPartition]bool{}
	var trouble error
	for tp, q := range c.backlog.queues {
		if q.waiting && len(q.items) > 0 {
			paused[tp] = true
			trouble = cmp.Or(q.trouble, trouble)
		}
	}
	c.client.pauseOnly(paused)
	c.metrics.paused.Set(float64(len(paused)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = trouble
}

// contextOf gives a handler's log lines the ids of its event.
func (c *Consumer) contextOf(ctx context.Context, it *item) context.Context {
	return telemetry.With(ctx, shortened(it.record.Key), it.id.String(), it.event.envelope.CorrelationID)
}

// shortened is a record's key for the log: a stranger's may be as large as a record.
func shortened(key []byte) string {
	if len(key) <= maxLoggedKey {
		return string(key)
	}
	return string(key[:maxLoggedKey]) + "…"
}

// maxLoggedKey is in bytes; an order id has 36.
const maxLoggedKey = 100

// typeName is the type as a label: one that this group knows, whatever the sender wrote.
func (it *item) typeName() string {
	switch {
	case it.sub.Type.Name != "":
		return it.sub.Type.Name
	case it.kind == rubbish:
		return "rubbish"
	default:
		return "other"
	}
}
