package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/postgres"
)

// measureEvery is the default interval of the measurement, and so the age that gauges may have. A
// measurement takes the database about 10 ms at most.
const measureEvery = 5 * time.Second

// backlog is what waits, as of the last measurement.
type backlog struct {
	mu   sync.Mutex
	last queue.Backlog
}

func (b *backlog) set(last queue.Backlog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = last
}

// of returns how many rows of a topic wait, as part of a sentence; "" when the number is unknown.
func (b *backlog) of(topic string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch n := b.last.Topics[topic]; {
	case n == 0:
		return ""
	case b.last.Estimated:
		return fmt.Sprintf(", about %d rows wait", n)
	default:
		return fmt.Sprintf(", %d rows wait", n)
	}
}

func (r *Relay) measureLoop(ctx context.Context) {
	for ctx.Err() == nil {
		r.measure(ctx)
		sleep(ctx, r.measureEvery)
	}
}

func (r *Relay) measure(ctx context.Context) {
	waiting, err := r.table.backlog(ctx, r.flight.currentBound())
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		r.metrics.errors.WithLabelValues("measure").Inc() // the read fails too, and reports it
	default:
		r.metrics.unpublished.Set(float64(waiting.Rows))
		r.metrics.oldest.Set(waiting.Oldest.Seconds())
		r.backlog.set(waiting)
	}
	now := r.clock()
	inFlight, _, _, oldest := r.flight.counts()
	r.metrics.inFlight.Set(float64(inFlight))
	r.metrics.held.Set(float64(r.flight.deferredCount()))
	unacknowledged := time.Duration(0)
	if oldest != nil {
		unacknowledged = now.Sub(oldest.sentAt)
	}
	r.metrics.unacknowledged.Set(unacknowledged.Seconds())
	r.producers.log.verbose.Store(unacknowledged > r.slow/2)
	r.metrics.refused.Reset()
	for _, one := range r.flight.refusals(now) {
		r.metrics.refused.WithLabelValues(one.topic).Set(now.Sub(one.since).Seconds())
	}
}

// backlog reads the figures of what is not published.
func (t *table) backlog(ctx context.Context, from bound) (queue.Backlog, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	// In mode debezium the bound leaves out what waits for Debezium, which counts here.
	b, err := queue.ReadBacklog(ctx, t.pool, from.of(allShards(), capture.Polling))
	if err != nil {
		return b, fmt.Errorf("measure outbox backlog: %w", postgres.Classify(err))
	}
	return b, nil
}
