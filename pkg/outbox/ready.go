package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// askTimeout bounds the question why the broker does not acknowledge, within the 900 ms that
// a readiness check has.
const askTimeout = 500 * time.Millisecond

// Ready returns nil when nothing general keeps the relay from publishing, else
// the reason: an operator holds it, the database or the broker does not answer, Debezium
// does not read its slot or has lost it, or a topic takes no records. In the last case the
// error names the topic, the broker's answer, for how long, and how many rows wait. Single
// records that are refused show in the metrics and in Describe only, since everything else
// goes on.
func (r *Relay) Ready() error {
	if err := r.anyTrouble(); err != nil {
		return fmt.Errorf("outbox relay: %w", err)
	}
	r.mu.Lock()
	held, capture := r.heldFor, r.capture
	r.mu.Unlock()
	if capture != nil {
		return fmt.Errorf("outbox relay: %w", capture)
	}
	if held != "" {
		return fmt.Errorf("outbox relay: held (%s)", held)
	}
	now := r.clock()
	if all := r.flight.refusals(now); len(all) > 0 {
		first, more := all[0], ""
		if len(all) > 1 {
			more = fmt.Sprintf("; %d more topics take none either", len(all)-1)
		}
		return fmt.Errorf("outbox relay: topic %s has taken no record for %s%s: %w%s",
			first.topic, now.Sub(first.since).Round(time.Second), r.rowsOf(first.topic), first.err, more)
	}
	_, sent, _, oldest := r.flight.counts()
	if oldest == nil {
		return nil
	}
	wait := now.Sub(oldest.sentAt)
	if wait <= r.slow {
		return nil
	}
	err := fmt.Errorf("outbox relay: the broker has not acknowledged a record of %s for %s (%d at the producer%s)",
		oldest.lane.topic, wait.Round(time.Second), sent, r.rowsOf(oldest.lane.topic))
	// The producer tries again and does not say why. Its log does, see answers; and a
	// broker that is away is asked.
	r.answers.curious.Store(true)
	if why := r.answers.since(oldest.sentAt); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	asking, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if client := r.company.get(); client != nil {
		if why := client.Ping(asking); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// rowsOf says how many rows of a topic wait, if that is known.
func (r *Relay) rowsOf(topic string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.waiting[topic]; n > 0 {
		return fmt.Sprintf(", %d rows wait", n)
	}
	return ""
}

// trouble notes, logs and counts that an operation failed, or with nil that it
// works.
func (r *Relay) trouble(operation string, err error) {
	r.mu.Lock()
	before := r.troubles[operation]
	if err == nil {
		delete(r.troubles, operation)
	} else {
		r.troubles[operation] = err
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		r.metrics.errors.WithLabelValues(operation).Inc()
		r.cfg.Logger.Warn("outbox relay will try again", "operation", operation, "error", err)
	case before != nil:
		r.cfg.Logger.Info("outbox relay works again", "operation", operation)
	}
}

func (r *Relay) anyTrouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, operation := range slices.Sorted(maps.Keys(r.troubles)) {
		return r.troubles[operation]
	}
	return nil
}
