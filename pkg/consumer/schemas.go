package consumer

import (
	"context"
	"errors"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/telemetry"
)

// Waiting is an error of Config.Decode that ends by itself: something that decoding needs is not
// available yet. *schema.Waiting is one.
type Waiting interface {
	error
	// News returns a channel that is closed when there is reason to decode again.
	News() <-chan struct{}
	// RegistryDown reports whether the registry is at fault, and not the record. That makes the
	// service not ready.
	RegistryDown() bool
}

// Emits returns the subscription with the event types that its handler may append. While one of the
// types cannot be encoded, records of the subscription wait and no call is made for them, because
// the outcome of a call could not be published.
func (s Subscription) Emits(types ...event.Type) Subscription {
	s.emits = append(s.emits[:len(s.emits):len(s.emits)], types...)
	return s
}

// Emitted returns the event types passed to [Subscription.Emits].
func (s Subscription) Emitted() []event.Type { return s.emits }

// decodeAll decodes the records of the due queues, as many per queue as one batch can contain.
// Where the head's decoding has to wait for the registry, the queue waits. The records behind the
// head are decoded all the same. The schemas of all fetched records are thus looked up at the same
// time, and no record waits for the grace period of another.
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

// waitsForSchema makes a queue wait for what its head needs from the registry. That is a reason not
// to be ready where the registry is at fault. Where the registry works and does not know an id, the
// record may be at fault, and one record must not make every service that reads it refuse its
// customers.
func (c *Consumer) waitsForSchema(q *queue, it *item, err error) {
	w, waits := errors.AsType[Waiting](err)
	if said := err.Error(); said != q.said {
		q.said = said
		c.log.Warn("record has to wait, and its partition with it", "topic", it.record.Topic,
			"partition", it.record.Partition, "offset", it.record.Offset, "type", it.typeName(),
			telemetry.KeySubject, shortened(it.record.Key), "error", err)
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

// heeding returns a context that ends as soon as the registry has news for a queue or a call has an
// answer, and the function that cancels it.
func (c *Consumer) heeding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c.calls.onAnswer(cancel)
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

// hearNews makes the queues due for which the registry has news.
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
