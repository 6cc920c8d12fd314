package relay

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/telemetry"
)

// send produces a record, in a batch with others. It does not use the context of Run: cancelling a
// record whose request may be on its way would leave its outcome unknown, and a stop waits for it
// anyway.
func (r *Relay) send(rec *record) {
	if rec.broken != nil {
		r.sent(rec, rec.broken)
		return
	}
	r.producers.batched.get().Produce(context.Background(), rec.kafka, func(_ *kgo.Record, err error) {
		r.at(afterReplied)
		r.sent(rec, err)
	})
}

// sent is called with the outcome of each record at a producer.
func (r *Relay) sent(rec *record, err error) {
	now := r.clock()
	topic := rec.orderKey.topic
	if err == nil {
		r.metrics.published.WithLabelValues(topic).Inc()
		r.metrics.seconds.Observe(max(0, now.Sub(rec.created).Seconds()))
		if next := r.flight.acknowledged(rec, now); next != nil {
			r.send(next)
		}
		return
	}
	if r.resendSingle(rec, err) {
		return
	}
	if errors.Is(err, kerr.UnknownTopicID) {
		r.producers.recreated.add(topic)
	}
	wide := topicWide(err)
	d := r.flight.refused(rec, err, wide, now)
	if aborted(err) {
		return
	}
	r.metrics.errors.WithLabelValues("produce").Inc()
	r.producers.recheck.Store(true)
	r.metrics.refusals.WithLabelValues(topic, reason(err)).Inc()
	if d.unlogged {
		return
	}
	key := rec.orderKey.key
	r.cfg.Logger.Warn("broker refused an outbox record; later ones of its key wait", "error", err,
		"topic", topic, "key", key, telemetry.KeySubject, key, telemetry.KeyEvent, rec.id, "attempts", d.attempts,
		"wholeTopic", wide, "nextTryIn", d.until.Sub(now).String())
}
