package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/retry"
)

// TestACrashNeitherLosesNorDoublesWhatFailed: the connection dies in the transaction that
// has decided about a failed record. Nothing of the decision stays, and it is made again.
func TestACrashNeitherLosesNorDoublesWhatFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failure error
		topic   string
	}{
		"a retry":       {errors.New("not this time"), ".retry"},
		"a dead letter": {errs.New(errs.Hopeless, "no use"), ".dlq"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var died atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				if e.Data.OrderID == "a" && e.Attempt == 1 {
					return tc.failure
				}
				if e.Data.OrderID == "b" && !died.Swap(true) { // behind the failure, which is decided
					if n := len(b.rows(`SELECT topic FROM outbox`)); n != 0 {
						t.Errorf("%d rows are committed before the batch", n)
					}
					b.kill(tx)
				}
				return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.Attempt))
			}
			b.together(b.record(delivered("a"), 1), b.record(delivered("b"), 1))
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
			want := []string{"b 1"}
			if tc.topic == ".retry" {
				want = append(want, "a 2")
			}
			got := b.awaitEffects(len(want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if sent := b.rows(`SELECT topic FROM outbox`); !slices.Equal(sent, []string{events.TopicOrderEvents + "." + group + tc.topic}) {
				t.Errorf("sent to %v, want one record", sent)
			}
			if n := len(b.rows(`SELECT event_type FROM inbox`)); n != 2 {
				t.Errorf("%d inbox rows, want 2", n)
			}
		})
	}
}

// TestABrokerThatIsAwayIsWaitedFor: Run does not end, and Ready says why nothing comes.
func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, err := consumer.New(consumer.Config{
		Group: group, Brokers: []string{"127.0.0.1:1"}, Pool: b.pool, Codec: b.codec, Outbox: b.outbox,
		Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}, StopGrace: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	kafkatest.Eventually(t, "it to say that the broker is away", func() bool {
		ping, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Ready(ping)
		if err == nil {
			t.Fatal("it is ready without a broker")
		}
		return strings.Contains(err.Error(), "broker does not answer")
	})
	select {
	case err := <-done:
		t.Fatalf("Run ended: %v", err)
	default:
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestWhoTakesOverBeginsBehindWhatWasHandled: a member that gives partitions up commits
// first, so that the next owner reads nothing again.
func TestWhoTakesOverBeginsBehindWhatWasHandled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	subs := []consumer.Subscription{consumer.On(onDelivered)}
	var records []*kgo.Record
	for i := range 40 {
		records = append(records, b.record(delivered(fmt.Sprint("o-", i)), 1))
	}
	// Marks are committed by nothing but a member that gives up its partitions or leaves.
	never := kgo.AutoCommitInterval(time.Hour)
	first, second := prometheus.NewRegistry(), prometheus.NewRegistry()
	stopFirst := b.run(consumer.Config{Subscriptions: subs, Registerer: first, KgoOpts: []kgo.Opt{never}})
	kafkatest.Produce(t, b.brokers, records...)
	b.awaitEffects(len(records))
	lag := func(reg *prometheus.Registry) (partitions int) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "eventshop_consumer_lag_records" {
				partitions = len(f.GetMetric())
			}
		}
		return partitions
	}
	if n := lag(first); n < 2 {
		t.Fatalf("the first member has read %d partitions; the test is of no use", n)
	}
	before := lag(first)
	b.run(consumer.Config{Subscriptions: subs, Registerer: second, KgoOpts: []kgo.Opt{never}})
	kafkatest.Eventually(t, "the first to give partitions up", func() bool { return lag(first) < before })
	stopFirst()
	kafkatest.Produce(t, b.brokers, records[0], b.record(delivered("last"), 1))
	b.awaitEffects(len(records) + 1)
	kafkatest.Eventually(t, "the second to have all", func() bool {
		return counter(t, second, "eventshop_consumer_records_total") >= 2
	})
	if n := counter(t, second, "eventshop_consumer_records_total", "outcome", "duplicate"); n != 1 {
		t.Errorf("%v records were read again, want only the one that was sent twice", n)
	}
}

// TestARetryThatTheBrokerLostComesBack: its key stays parked, and the outbox has the record
// still.
func TestARetryThatTheBrokerLostComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.AggregateVersion == 1 && e.Attempt == 1 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	subs := []consumer.Subscription{consumer.On(handle)}
	b.together(b.record(delivered("a"), 1), b.record(delivered("a"), 2))
	stop := b.run(consumer.Config{Subscriptions: subs, Retry: consumer.Retry{Backoff: consumer.Backoff{Base: time.Hour, Max: time.Hour}}})
	topic := events.RetryTopic(events.TopicOrderEvents, group)
	b.first(topic)
	stop()
	if _, err := kadm.NewClient(kafkatest.NewClient(t, b.brokers)).DeleteTopics(t.Context(), topic.Name); err != nil {
		t.Fatal(err)
	}
	kafkatest.CreateTopics(t, b.brokers, topic)
	b.run(consumer.Config{Subscriptions: subs, Retry: quickly(2)})
	keys, err := retry.New(group, b.outbox).ParkedKeys(t.Context(), b.pool, 0)
	if err != nil || len(keys) != 1 || keys[0].State != "retrying" || keys[0].Followers != 1 {
		t.Fatalf("parked %+v, %v", keys, err)
	}
	if n, err := b.outbox.Republish(t.Context(), b.pool, outbox.Selection{}); err != nil || n != 1 {
		t.Fatalf("%d rows are published again, %v", n, err)
	}
	if diff := cmp.Diff([]string{"a 1", "a 2"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}
