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
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
)

// TestATopicMadeAgainWhilePausedIsRead: the pause of the old topic's partition must not outlive the
// topic.
func TestATopicMadeAgainWhilePausedIsRead(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		var down atomic.Bool
		down.Store(true)
		var waits atomic.Int32
		handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.Data.ParcelID == "old" && down.Load() {
				waits.Add(1)
				return errs.New(errs.Transient, "down")
			}
			return effect(ctx, tx, e.Data.ParcelID, "delivered")
		}
		produce(t, f, map[string]int32{"old": 0}, "old")
		// Longer than the client takes to notice: the partition stays paused until then.
		f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Backoff: consumer.Backoff{Base: 5 * time.Second}})
		kafkatest.Eventually(t, "the partition to wait", func() bool { return waits.Load() > 0 })

		admin := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
		if _, err := admin.DeleteTopics(t.Context(), sample.TopicParcelEvents); err != nil {
			t.Fatal(err)
		}
		for _, topic := range sample.Topics() {
			if topic.Name == sample.TopicParcelEvents {
				kafkatest.CreateTopics(t, f.brokers, topic)
			}
		}
		produce(t, f, map[string]int32{"new": 0}, "new")
		if got := f.awaitEffects(1); got[0] != "new delivered" {
			t.Errorf("effects %v", got)
		}
	})
}
