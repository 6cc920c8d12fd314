package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

// TestATopicMadeAgainWhilePausedIsRead: the pause of the old topic's partition must not
// outlive it.
func TestATopicMadeAgainWhilePausedIsRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var down atomic.Bool
	down.Store(true)
	var waits atomic.Int32
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "old" && down.Load() {
			waits.Add(1)
			return errs.New(errs.Transient, "down")
		}
		return effect(ctx, tx, e.Data.OrderID, "delivered")
	}
	produce(t, b, map[string]int32{"old": 0}, "old")
	// Longer than it takes the client to find out: the partition is paused all the while.
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Backoff: consumer.Backoff{Base: 5 * time.Second}})
	kafkatest.Eventually(t, "the partition to wait", func() bool { return waits.Load() > 0 })

	admin := kadm.NewClient(kafkatest.NewClient(t, b.brokers))
	if _, err := admin.DeleteTopics(t.Context(), events.TopicOrderEvents); err != nil {
		t.Fatal(err)
	}
	for _, topic := range events.Topics() {
		if topic.Name == events.TopicOrderEvents {
			kafkatest.CreateTopics(t, b.brokers, topic)
		}
	}
	produce(t, b, map[string]int32{"new": 0}, "new")
	if got := b.awaitEffects(1); got[0] != "new delivered" {
		t.Errorf("effects %v", got)
	}
}
