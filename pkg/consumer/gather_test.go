package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
)

// TestAGroupGathers: records that come one by one share transactions. However long the test takes, there
// is no more than one batch per interval.
func TestAGroupGathers(t *testing.T) {
	t.Parallel()
	const records, every = 30, 300 * time.Millisecond
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		return effect(ctx, tx, e.Data.ParcelID, "collected")
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Gather: every, Registerer: reg})
	began := time.Now()
	for i := range records {
		kafkatest.Produce(t, f.brokers, f.record(collected(fmt.Sprint("p-", i)), 1))
	}
	f.awaitEffects(records)
	batches := 0.0
	kafkatest.Eventually(t, "a batch to be counted", func() bool {
		batches = counter(t, reg, "consumer_batch_records")
		return batches > 0
	})
	if most := float64(time.Since(began)/every) + 2; batches > most {
		t.Errorf("%v batches, want at most %v", batches, most)
	}
}

// TestAGroupThatGathersStops: the wait ends with the consumer.
func TestAGroupThatGathersStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Gather: time.Hour})
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
	f.awaitEffects(1)
	stop()
}
