package consumer

import (
	"context"
	"errors"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// Emits returns the subscription with the event types that its handler may append. Records
// of it wait, and nothing is called for them, while one of the types cannot be encoded: what
// a call to the outside world has done could not be told.
func (s Subscription) Emits(types ...events.Type) Subscription {
	s.emits = append(s.emits[:len(s.emits):len(s.emits)], types...)
	return s
}

// Emitted returns the event types given to Emits.
func (s Subscription) Emitted() []events.Type { return s.emits }

// decodeAll decodes the heads of the due queues, as many as one batch can hold. Where
// decoding has to wait for the registry, the queue waits. What is behind is looked at all
// the same, so that the schemas of all records in hand are looked up at the same time, and
// none waits for the grace period of another.
func (c *Consumer) decodeAll(ctx context.Context, due []*queue) {
	for _, q := range due {
		q.news = nil
		for i, it := range q.items {
			if i == c.cfg.MaxBatch {
				break
			}
			if it.kind != undecoded {
				continue
			}
			if err := c.decode(ctx, it); err != nil && i == 0 {
				c.waitsForSchema(q, it, err)
			}
		}
	}
}

// waitsForSchema lets a queue wait for what its head needs of the registry. That is a
// reason not to be ready where the registry is at fault. Where it works, and does not know
// an id, the record may be at fault: it must not make every service that reads it refuse
// its customers.
func (c *Consumer) waitsForSchema(q *queue, it *item, err error) {
	w, waits := errors.AsType[*schema.Waiting](err)
	if said := err.Error(); said != q.said {
		q.said = said
		c.log.Warn("record has to wait, and its partition with it", "topic", it.record.Topic,
			"partition", it.record.Partition, "offset", it.record.Offset, "type", it.typeName(), "error", err)
	}
	c.metrics.failures.WithLabelValues(it.record.Topic, it.typeName(), errs.KindOf(err).String()).Inc()
	c.postpone(q, err)
	q.trouble = waitingFor(it, err)
	if waits {
		q.news = w.News()
		if !w.RegistryDown() {
			q.trouble = nil
		}
	}
}

// heeding returns a context that ends as soon as the registry has news for a queue, and
// what ends it otherwise.
func (c *Consumer) heeding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	seen := map[<-chan struct{}]bool{}
	for _, q := range c.backlog.queues {
		if q.news == nil || len(q.items) == 0 || seen[q.news] {
			continue
		}
		seen[q.news] = true
		news := q.news
		go func() {
			select {
			case <-news:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// hearNews makes the queues due that the registry has news for.
func (c *Consumer) hearNews() {
	for _, q := range c.backlog.queues {
		if q.news == nil {
			continue
		}
		select {
		case <-q.news:
			q.news, q.due = nil, time.Time{}
		default:
		}
	}
}
