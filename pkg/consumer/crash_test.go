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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/retry"
)

// TestACrashNeitherLosesNorDoublesWhatFailed: the connection breaks in the transaction that has
// decided about a failed record. The decision is rolled back and made again.
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
			f := newFixture(t)
			var died atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Data.ParcelID == "a" && e.Attempt == 1 {
					return tc.failure
				}
				if e.Data.ParcelID == "b" && !died.Swap(true) { // after the failure, which is decided
					if n := len(f.rows(`SELECT topic FROM outbox`)); n != 0 {
						t.Errorf("%d rows are committed before the batch", n)
					}
					f.kill(tx)
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.Attempt))
			}
			f.together(f.record(collected("a"), 1), f.record(collected("b"), 1))
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
			want := []string{"b 1"}
			if tc.topic == ".retry" {
				want = []string{"a 2", "b 1"}
			}
			got := f.awaitEffects(len(want))
			slices.Sort(got) // b may wait after the crash, while a's next attempt does not
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if sent := f.rows(`SELECT topic FROM outbox`); !slices.Equal(sent, []string{sample.TopicParcelEvents + "." + group + tc.topic}) {
				t.Errorf("sent to %v, want one record", sent)
			}
			if n := len(f.rows(`SELECT event_type FROM inbox`)); n != 2 {
				t.Errorf("%d inbox rows, want 2", n)
			}
		})
	}
}

// TestABrokerThatIsAwayIsWaitedFor: Run does not end, and Ready reports why no records arrive.
func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c, err := consumer.New(consumer.Config{
		Group: group, Brokers: []string{"127.0.0.1:1"}, Pool: f.pool, Types: f.codec.Types(), Decode: f.codec.Decode, Encodable: f.codec.Encodable, Outbox: f.outbox,
		Subscriptions: []consumer.Subscription{on(onDelivered)}, StopGrace: 100 * time.Millisecond,
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

// TestWhoTakesOverBeginsBehindWhatWasHandled: a member that gives up partitions commits first, so
// that the next owner reads no record again.
func TestWhoTakesOverBeginsBehindWhatWasHandled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	subs := []consumer.Subscription{on(onDelivered)}
	var records []*kgo.Record
	for i := range 40 {
		records = append(records, f.record(collected(fmt.Sprint("o-", i)), 1))
	}
	// Only a member that gives up its partitions or leaves commits marks.
	never := kgo.AutoCommitInterval(time.Hour)
	first, second := prometheus.NewRegistry(), prometheus.NewRegistry()
	stopFirst := f.run(consumer.Config{Subscriptions: subs, Registerer: first, KgoOpts: []kgo.Opt{never}})
	kafkatest.Produce(t, f.brokers, records...)
	f.awaitEffects(len(records))
	lag := func(reg *prometheus.Registry) (partitions int) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "consumer_lag_records" {
				partitions = len(f.GetMetric())
			}
		}
		return partitions
	}
	if n := lag(first); n < 2 {
		t.Fatalf("the first member has read %d partitions; the test is of no use", n)
	}
	before := lag(first)
	f.run(consumer.Config{Subscriptions: subs, Registerer: second, KgoOpts: []kgo.Opt{never}})
	kafkatest.Eventually(t, "the first to give partitions up", func() bool { return lag(first) < before })
	stopFirst()
	kafkatest.Produce(t, f.brokers, records[0], f.record(collected("last"), 1))
	f.awaitEffects(len(records) + 1)
	kafkatest.Eventually(t, "the second to have all", func() bool {
		return counter(t, second, "consumer_records_total") >= 2
	})
	if n := counter(t, second, "consumer_records_total", "outcome", "duplicate"); n != 1 {
		t.Errorf("%v records were read again, want only the one that was sent twice", n)
	}
}

// TestARetryThatTheBrokerLostComesBack: its key stays parked, and the outbox still has the record.
func TestARetryThatTheBrokerLostComesBack(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.AggregateVersion == 1 && e.Attempt == 1 {
				return errors.New("not this time")
			}
			return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
		}
		subs := []consumer.Subscription{on(handle)}
		f.together(f.record(collected("a"), 1), f.record(collected("a"), 2))
		stop := f.run(consumer.Config{Subscriptions: subs, Retry: consumer.Retry{Backoff: consumer.Backoff{Base: time.Hour, Max: time.Hour}}})
		topic := event.RetryTopic(sample.TopicParcelEvents, group)
		f.first(topic)
		stop()
		if _, err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).DeleteTopics(t.Context(), topic.Name); err != nil {
			t.Fatal(err)
		}
		kafkatest.CreateTopics(t, f.brokers, topic)
		f.run(consumer.Config{Subscriptions: subs, Retry: quickly(2)})
		keys, err := retry.New(group, f.outbox).ParkedKeys(t.Context(), f.pool, 0)
		if err != nil || len(keys) != 1 || keys[0].State != "retrying" || keys[0].Followers != 1 {
			t.Fatalf("parked %+v, %v", keys, err)
		}
		operators := admin.Admin{Pool: f.pool, Wake: f.outbox.Wake}
		if n, err := operators.Republish(t.Context(), admin.Selection{}); err != nil || n != 1 {
			t.Fatalf("%d rows are published again, %v", n, err)
		}
		if diff := cmp.Diff([]string{"a 1", "a 2"}, f.awaitEffects(2)); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		f.awaitNothingParked()
	})
}
