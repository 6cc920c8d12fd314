package consumer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/telemetry"
)

// batch starts the calls of due records, and handles the records that await none in one transaction.
func (c *Consumer) batch(ctx context.Context) (records int) {
	started := time.Now()
	c.hearAnswers()
	due := c.backlog.due(started)
	c.passOver(ctx, due)
	c.decodeAll(ctx, due)
	c.startCalls(ctx, due)
	if portions := take(due, c.pace.size); len(portions) > 0 {
		for _, p := range portions {
			records += len(p.items())
		}
		c.transact(ctx, portions, started)
	}
	c.settle()
	return records
}

// passOver finds the heads that waited before and that an operator asked to skip. It looks up only
// those heads: a request to skip any other record has no effect.
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
		return // the batch meets the same error and logs it
	}
	for _, q := range due {
		if head := q.items[0]; q.waiting && asked[head.place().Place()] {
			head.kind, head.skip, head.parks = foreign, true, false
			c.log.Warn("record skipped, as an operator asked", "record", head.place().Place().String(),
				telemetry.KeySubject, shortened(head.record.Key))
		}
	}
}

// cut takes a record, and all records behind it, out of the batch. With an error the record has to
// wait, and its partition with it; without one it can be tried again at once.
func (c *Consumer) cut(portions []portion, waiting *item, err error) []portion {
	var rest []portion
	for _, s := range portions {
		if i := slices.Index(s.items(), waiting); i >= 0 {
			// The records before it commit now; it is then the head of its queue.
			if s.n = i; err != nil {
				c.waits(s.q, waiting, err)
				s.q.trouble, s.cut = waitingFor(waiting, err), true
			}
		}
		if s.n > 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// committed marks the offsets of the records that the database has committed, and moves the queues
// on.
func (c *Consumer) committed(portions []portion, started time.Time) {
	total := 0
	for _, s := range portions {
		for _, it := range s.items() {
			c.count(it)
		}
		last := s.q.items[s.n-1].record
		c.client.MarkCommitRecords(last)
		s.q.reached.left = last.Offset + 1
		s.q.items = slices.Clone(s.q.items[s.n:]) // releases the memory of the records handled
		s.q.headOnly = false
		if !s.cut {
			s.q.waiting, s.q.attempts, s.q.due, s.q.trouble = false, 0, time.Time{}, nil
		}
		total += s.n
	}
	c.cfg.Outbox.Wake()
	c.metrics.batch.Observe(float64(total))
	c.metrics.seconds.Observe(time.Since(started).Seconds())
}

// count counts and logs the outcome of a record of a committed transaction.
func (c *Consumer) count(it *item) {
	c.metrics.records.WithLabelValues(it.record.Topic, it.typeName(), string(it.outcome)).Inc()
	for _, header := range it.replaced {
		c.metrics.replaced.WithLabelValues(it.record.Topic, header).Inc()
	}
	switch it.outcome {
	case handled, duplicate, parked:
		if it.outcome == handled && it.committed != nil {
			it.committed(c.contextOf(context.Background(), it))
		}
		c.log.DebugContext(c.contextOf(context.Background(), it), "record "+string(it.outcome), "topic", it.record.Topic,
			"partition", it.record.Partition, "offset", it.record.Offset, "type", it.typeName())
	case retrying:
		c.failed(it, it.failure, slog.LevelWarn, "record failed; it will be tried again, and its key waits")
	case deadLetter:
		c.failed(it, it.failure, slog.LevelError, "record given up: dead letter")
	}
}

// failed counts and logs a failed try of a record.
func (c *Consumer) failed(it *item, err error, level slog.Level, what string) {
	kind := errs.KindOf(err).String()
	c.metrics.failures.WithLabelValues(it.record.Topic, it.typeName(), kind).Inc()
	c.log.Log(c.contextOf(context.Background(), it), level, what,
		"topic", it.record.Topic, "partition", it.record.Partition, "offset", it.record.Offset,
		"type", it.typeName(), telemetry.KeyEvent, it.id, telemetry.KeySubject, shortened(it.record.Key),
		telemetry.KeyCorrelation, it.event.envelope.CorrelationID, "kind", kind, "error", err)
}

// waitingFor returns an error that names the record that waits, in the form that an operator needs
// to have it skipped.
func waitingFor(it *item, err error) error {
	return fmt.Errorf("record %s waits: %w", it.place().Place(), err)
}

// waits makes a partition wait for something that its head needs and that is down.
func (c *Consumer) waits(q *queue, it *item, err error) {
	c.failed(it, err, slog.LevelWarn, "record has to wait, and its partition with it")
	c.postpone(q, err)
}

// postpone makes a queue wait before its head is tried again: for the time that the error names (an
// open circuit breaker names one), otherwise with backoff.
func (c *Consumer) postpone(q *queue, err error) {
	q.waiting = true
	q.due, q.attempts = c.cfg.Backoff.after(q.attempts, err)
}

// settle pauses the fetching of partitions that wait, or whose head awaits an answer while many
// records are behind it, and resumes the others, so that a backlog stays in Kafka and not in this
// process. The member stays in the group either way. Ready reports
// what the partitions wait for.
func (c *Consumer) settle() {
	paused := map[topicPartition]bool{}
	var trouble error
	for tp, q := range c.backlog.queues {
		if len(q.items) == 0 {
			continue
		}
		if q.waiting || q.items[0].awaits() && len(q.items) >= c.cfg.MaxBatch {
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

// contextOf returns the context of a record's call, handler and log lines. It carries the ids of
// the event and the span of this attempt.
func (c *Consumer) contextOf(ctx context.Context, it *item) context.Context {
	ctx = telemetry.WithTrace(ctx, it.event.span, it.event.envelope.TraceState)
	return telemetry.With(ctx, shortened(it.record.Key), it.id.String(), it.event.envelope.CorrelationID)
}

// shortened returns a record's key for the log. A foreign producer's key may be as large as a
// record.
func shortened(key []byte) string {
	if len(key) <= maxLoggedKey {
		return string(key)
	}
	return string(key[:maxLoggedKey]) + "…"
}

// maxLoggedKey is in bytes; a UUID has 36.
const maxLoggedKey = 100

// typeName returns the type as a metrics label. It is always a type that this group knows, whatever
// the sender wrote.
func (it *item) typeName() string {
	switch {
	case it.sub.Type.Name != "":
		return it.sub.Type.Name
	case it.kind == poison:
		return "rubbish"
	default:
		return "other"
	}
}
