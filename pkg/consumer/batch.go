package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/telemetry"
)

// batch handles what is due: one transaction for all of it, or, when records
// fail, one for all that do not.
func (c *Consumer) batch(ctx context.Context) {
	started := time.Now()
	due := c.backlog.due(started)
	c.decodeAll(ctx, due)
	shares := take(due, c.cfg.MaxBatch)
	if len(shares) == 0 {
		c.settle()
		return
	}
	shares = c.callAll(ctx, shares)
	for len(shares) > 0 {
		failed, err := c.transact(ctx, shares)
		if err == nil {
			c.committed(shares, started)
			break
		}
		if failed == nil {
			// Not one record's fault: the database is away, or ctx has ended.
			c.log.Warn("batch not committed; all of it will be tried again", "error", err)
			for _, s := range shares {
				c.postpone(s.q)
			}
			c.setTrouble(fmt.Errorf("batch not committed: %w", err))
			break
		}
		shares = c.cut(shares, failed, err)
	}
	c.settle()
}

// decodeAll decodes the heads of the due queues, as many as one batch can hold.
// Where decoding has to wait for the registry, the queue waits.
func (c *Consumer) decodeAll(ctx context.Context, due []*queue) {
	for _, q := range due {
		for i, it := range q.items {
			if i == c.cfg.MaxBatch {
				break
			}
			if it.kind != undecoded {
				continue
			}
			if err := c.decode(ctx, it); err != nil {
				if i == 0 {
					c.failed(it, err)
					c.postpone(q)
					c.setTrouble(err)
				}
				break
			}
		}
	}
}

// callAll makes the calls of the batch, several at once: take has seen to it
// that no two of them are about one key. A queue is cut at the first call that
// failed.
func (c *Consumer) callAll(ctx context.Context, shares []share) []share {
	var calling []*item
	var ids []uuid.UUID
	for _, s := range shares {
		for _, it := range s.items() {
			if it.kind == subscribed && it.sub.call != nil {
				calling, ids = append(calling, it), append(ids, it.id)
			}
		}
	}
	if len(calling) == 0 {
		return shares
	}
	// A redelivered record has had its call; asking the inbox first spares the
	// outside world a repetition. Only the insert inside the transaction decides.
	brief, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	seen, err := inbox.Seen(brief, c.cfg.Pool, c.cfg.Group, ids)
	if err != nil {
		c.log.Warn("inbox not readable; batch will be tried again", "error", err)
		for _, s := range shares {
			c.postpone(s.q)
		}
		c.setTrouble(fmt.Errorf("inbox not readable: %w", err))
		return nil
	}
	c.setTrouble(nil) // the database answers; what a call fails at is its record's trouble
	failures := make([]error, len(calling))
	var g errgroup.Group
	g.SetLimit(c.cfg.CallConcurrency)
	for i, it := range calling {
		it.called, it.result = false, nil
		if seen[it.id] {
			continue
		}
		g.Go(func() error {
			failures[i] = guard(func() (err error) {
				it.result, err = it.sub.call(c.contextOf(ctx, it), it.event)
				return err
			})
			it.called = failures[i] == nil
			return nil
		})
	}
	_ = g.Wait() // the functions report through failures
	for i, it := range calling {
		if failures[i] != nil {
			shares = c.cut(shares, it, failures[i])
		}
	}
	return shares
}

// cut takes the failed record and all behind it out of the batch and lets its
// partition wait.
func (c *Consumer) cut(shares []share, failed *item, err error) []share {
	var rest []share
	for _, s := range shares {
		if i := slices.Index(s.items(), failed); i >= 0 {
			c.failed(failed, err)
			if errs.KindOf(err) == errs.Hopeless && failed.kind != rubbish {
				// A rule was violated that no repetition will mend.
				failed.condemn(failed.id, err)
			} else if i == 0 {
				c.postpone(s.q)
			}
			// Its predecessors commit first; it is then the head of its queue and
			// the next batch decides about it alone.
			s.n = i
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
			c.metrics.records.WithLabelValues(it.record.Topic, it.typeName(), string(it.outcome)).Inc()
			if it.outcome == deadLetter {
				c.log.Error("dead letter", "topic", it.record.Topic, "partition", it.record.Partition,
					"offset", it.record.Offset, "event_id", it.id, "error", it.cause)
			}
		}
		c.client.MarkCommitRecords(s.q.items[s.n-1].record)
		s.q.items = slices.Clone(s.q.items[s.n:]) // let go of the records handled
		s.q.attempts, s.q.due = 0, time.Time{}
		total += s.n
	}
	c.cfg.Outbox.Wake()
	c.setTrouble(nil)
	c.metrics.batch.Observe(float64(total))
	c.metrics.seconds.Observe(time.Since(started).Seconds())
}

func (c *Consumer) failed(it *item, err error) {
	kind := errs.KindOf(err)
	c.metrics.failures.WithLabelValues(it.record.Topic, it.typeName(), kind.String()).Inc()
	c.log.Warn("record failed; its partition waits and tries again",
		"topic", it.record.Topic, "partition", it.record.Partition, "offset", it.record.Offset,
		"type", it.typeName(), "event_id", it.id, "order_id", string(it.record.Key),
		"correlation_id", it.event.envelope.CorrelationID, "kind", kind.String(), "error", err)
}

// postpone lets a queue wait before its head is tried again.
func (c *Consumer) postpone(q *queue) {
	q.attempts++
	q.due = time.Now().Add(c.cfg.Backoff.Wait(q.attempts))
}

// settle pauses the fetching of partitions that wait and resumes the others, so
// that a backlog stays in Kafka and not in this process. The member stays in the
// group either way.
func (c *Consumer) settle() {
	pause, resume := map[string][]int32{}, map[string][]int32{}
	paused := 0
	for _, q := range c.backlog.queues {
		wait := q.attempts > 0 && len(q.items) > 0
		switch {
		case wait && !q.paused:
			pause[q.topic] = append(pause[q.topic], q.partition)
		case !wait && q.paused:
			resume[q.topic] = append(resume[q.topic], q.partition)
		}
		q.paused = wait
		if wait {
			paused++
		}
	}
	if len(pause) > 0 {
		c.client.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		c.client.ResumeFetchPartitions(resume)
	}
	c.metrics.paused.Set(float64(paused))
}

func (c *Consumer) setTrouble(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}

// contextOf gives a handler's log lines the ids of its event.
func (c *Consumer) contextOf(ctx context.Context, it *item) context.Context {
	return telemetry.With(ctx, string(it.record.Key), it.id.String(), it.event.envelope.CorrelationID)
}

func (it *item) typeName() string {
	switch {
	case it.event.envelope.Type != "":
		return it.event.envelope.Type
	case it.kind == rubbish:
		return "rubbish" // one label value, whatever the sender wrote
	default:
		return "other"
	}
}
