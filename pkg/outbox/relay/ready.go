package relay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// askTimeout bounds the request that asks why the broker does not acknowledge. It fits into the 900
// ms that a readiness check has.
const askTimeout = 500 * time.Millisecond

// Ready returns nil when no general cause prevents the relay from publishing. Otherwise it returns
// the reason: the outbox is on hold, the database or the broker does not answer,
// Debezium does not read its slot or has lost it, or a topic accepts no records. In the last case
// the error contains the topic, the broker's answer, for how long, and how many rows wait. Single
// refused records appear only in the metrics and in [Relay.Refused], because all other records
// continue.
func (r *Relay) Ready() error {
	if err := r.troubles.first(); err != nil {
		return fmt.Errorf("outbox relay: %w", err)
	}
	if err := r.confirmer.Ready(); err != nil {
		return fmt.Errorf("outbox relay: %w", err)
	}
	if held := r.hold.why(); held != "" {
		return fmt.Errorf("outbox relay: held (%s)", held)
	}
	now := r.clock()
	if all := r.flight.refusals(now); len(all) > 0 {
		first, more := all[0], ""
		if len(all) > 1 {
			more = fmt.Sprintf("; %d more topics take none either", len(all)-1)
		}
		return fmt.Errorf("outbox relay: topic %s has taken no record for %s%s: %w%s",
			first.topic, now.Sub(first.since).Round(time.Second), r.backlog.of(first.topic), first.err, more)
	}
	return r.unacknowledged(now)
}

// unacknowledged returns an error when a record has been at the producer for longer than slow.
func (r *Relay) unacknowledged(now time.Time) error {
	_, sent, _, oldest := r.flight.counts()
	if oldest == nil {
		return nil
	}
	wait := now.Sub(oldest.sentAt)
	if wait <= r.slow {
		return nil
	}
	topic := oldest.orderKey.topic
	err := fmt.Errorf("outbox relay: the broker has not acknowledged a record of %s for %s (%d at the producer%s)",
		topic, wait.Round(time.Second), sent, r.backlog.of(topic))
	// The client retries and does not report the reason, but its log contains it. The ping shows
	// whether the broker is unavailable.
	r.producers.log.verbose.Store(true)
	if why := r.producers.log.since(oldest.sentAt); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	asking, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if client := r.producers.batched.get(); client != nil {
		if why := client.Ping(asking); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// troubles are the operations that currently fail. The zero value is ready to use.
type troubles struct {
	mu          sync.Mutex
	byOperation map[string]error // read, mark, lease
}

// set stores the result of an operation and returns the previous one.
func (t *troubles) set(operation string, err error) (before error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before = t.byOperation[operation]
	if err == nil {
		delete(t.byOperation, operation)
		return before
	}
	if t.byOperation == nil {
		t.byOperation = map[string]error{}
	}
	t.byOperation[operation] = err
	return before
}

// first returns the error of the first operation by name, or nil.
func (t *troubles) first() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, operation := range slices.Sorted(maps.Keys(t.byOperation)) {
		return t.byOperation[operation]
	}
	return nil
}

// trouble records, logs and counts a failed operation. With a nil error it logs the recovery.
func (r *Relay) trouble(operation string, err error) {
	switch before := r.troubles.set(operation, err); {
	case err != nil:
		r.metrics.errors.WithLabelValues(operation).Inc()
		r.cfg.Logger.Warn("outbox relay will try again", "operation", operation, "error", err)
	case before != nil:
		r.cfg.Logger.Info("outbox relay works again", "operation", operation)
	}
}
