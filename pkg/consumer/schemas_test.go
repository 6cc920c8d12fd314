package consumer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// withSchemaID says that a record was written with a schema id.
func withSchemaID(r *kgo.Record, id int) *kgo.Record {
	binary.BigEndian.PutUint32(r.Value[1:], uint32(id))
	return r
}

// newer registers a type's schema with another doc, by another program, and returns its id.
func (b *bench) newer(typ events.Type, doc string) int {
	b.t.Helper()
	id, err := schema.NewClient(b.registry.URL).Register(b.t.Context(), typ.Subject, `{"doc":"`+doc+`",`+typ.Schema[1:])
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// cold gives the bench a codec that knows what it registers and nothing else.
func (b *bench) cold(grace time.Duration, types ...events.Type) {
	b.t.Helper()
	b.codec = schema.New(schema.Config{Client: schema.NewClient(b.registry.URL), Grace: grace})
	if err := b.codec.Register(b.t.Context(), types...); err != nil {
		b.t.Fatal(err)
	}
}

var deliveredType = events.TypeOf[events.OrderDelivered]()

// A registry that denies an id it has, for a moment, costs a wait and no record.
func TestAnIDDeniedForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.newer(deliveredType, "newer")
	b.cold(time.Minute, deliveredType)
	b.registry.Break(schematest.Fault{Denies: []int{id}})
	for i := range 10 {
		kafkatest.Produce(t, b.brokers, withSchemaID(b.record(delivered(fmt.Sprintf("o-%d", i)), 1), id))
	}
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "records wait", func() bool {
		return counter(t, reg, "eventshop_consumer_failures_total", "kind", "transient") >= 3
	})
	b.registry.Break(schematest.Fault{})
	b.awaitEffects(10)
	if n := b.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// A thousand records of as many unknown ids, on all partitions and between good ones, wait
// for one grace period and are then dead letters; the good ones are handled.
func TestUnknownIDsShareOneGracePeriod(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const grace, bad = 4 * time.Second, 1000
	b.cold(grace, deliveredType)
	var rs []*kgo.Record
	for i := range bad {
		rs = append(rs, withSchemaID(b.record(delivered(fmt.Sprintf("bad-%d", i)), 1), 5000+i))
		if i%10 == 0 {
			rs = append(rs, b.record(delivered(fmt.Sprintf("good-%d", i)), 1))
		}
	}
	kafkatest.Produce(t, b.brokers, rs...)
	began := time.Now()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
	kafkatest.Eventually(t, "dead letters", func() bool { return b.deadLetters() == bad })
	took := time.Since(began)
	if took < grace {
		t.Errorf("judged after %v, before the grace period was over", took)
	}
	// The second lot of a partition waits a thirtieth. The rest is this machine's time for a
	// thousand dead letters.
	t.Logf("%v for %d unknown ids with a grace period of %v", took, bad, grace)
	if took > 10*grace {
		t.Errorf("%v: more than ten grace periods", took)
	}
	b.awaitEffects(bad / 10)
}

// A registry that accepts connections and never answers holds up the records that need it,
// and no other; the service says so within seconds.
func TestAHangingRegistryHoldsUpNoOtherPartition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.cold(time.Minute, deliveredType)
	producer := kafkatest.NewClient(t, b.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(r *kgo.Record, partition int32) {
		r.Partition = partition
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	b.registry.Break(schematest.Fault{Hangs: true})
	for i := range 20 { // as many ids, so that each would be a request of 2 s
		produce(withSchemaID(b.record(delivered(fmt.Sprintf("waits-%d", i)), 1), 7000+i), 0)
	}
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
	var reason string
	kafkatest.Eventually(t, "not ready because of the registry", func() bool {
		err := c.Ready(t.Context())
		if err != nil {
			reason = err.Error()
		}
		return err != nil && strings.Contains(err.Error(), "schema")
	})
	t.Log(reason)
	began := time.Now()
	for i := range 20 {
		produce(b.record(delivered(fmt.Sprintf("goes-%d", i)), 1), 1)
		b.awaitEffects(i + 1)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 records with known ids took %v", took)
	}
	if n := b.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// No call is made whose outcome could not be told, no attempt is spent, and all goes on by
// itself when the registry takes the schema.
func TestNoCallWhileItsOutcomeCannotBeTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	confirmedType := events.TypeOf[events.OrderConfirmed]()
	// A registry that lacks what the handler emits.
	other := schematest.Start(t)
	b.registry = other
	b.cold(time.Minute, deliveredType)
	b.outbox = outbox.New(b.codec, "/eventshop/test")
	other.Break(schematest.Fault{ReadOnly: true})
	kafkatest.Produce(t, b.brokers, b.record(delivered("o-1"), 1))
	var calls atomic.Int64
	sub := consumer.OnCall(
		func(context.Context, consumer.Event[events.OrderDelivered]) (int, error) { calls.Add(1); return 1, nil },
		func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered], _ int) error {
			if e.Attempt != 1 {
				t.Errorf("attempt %d", e.Attempt)
			}
			if err := b.outbox.Append(ctx, tx, outbox.Entry{Event: confirmed(e.Data.OrderID), Version: 1, Cause: e.Cause()}); err != nil {
				return err
			}
			return effect(ctx, tx, e.Data.OrderID, "confirmed")
		}).Emits(confirmedType)
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	kafkatest.Eventually(t, "not ready because of the registry", func() bool {
		err := c.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "schema")
	})
	if n := calls.Load(); n != 0 {
		t.Fatalf("%d calls were made", n)
	}
	other.Break(schematest.Fault{})
	b.awaitEffects(1)
	if n, letters := calls.Load(), b.deadLetters(); n != 1 || letters != 0 {
		t.Errorf("%d calls, %d dead letters", n, letters)
	}
}
