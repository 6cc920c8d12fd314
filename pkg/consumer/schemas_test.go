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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// withSchemaID returns the record with a schema id as its writer's.
func withSchemaID(r *kgo.Record, id int) *kgo.Record {
	binary.BigEndian.PutUint32(r.Value[1:], uint32(id))
	return r
}

// newer registers a type's schema with another doc, as another program would, and returns its id.
func (f *fixture) newer(typ event.Type, doc string) int {
	f.t.Helper()
	id, err := schema.NewClient(f.registry.URL).Register(f.t.Context(), typ.Subject, `{"doc":"`+doc+`",`+typ.Schema[1:])
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// cold replaces the fixture's codec with one that has only the schemas that it registers.
func (f *fixture) cold(grace time.Duration, types ...event.Type) {
	f.t.Helper()
	f.codec = schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient(f.registry.URL), Grace: grace})
	if err := f.codec.Register(f.t.Context(), types...); err != nil {
		f.t.Fatal(err)
	}
}

var deliveredType = sample.TypeOf[sample.ParcelCollected]()

// A registry that denies an id that it has, for a moment, causes a wait and no dead letter.
func TestAnIDDeniedForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.newer(deliveredType, "newer")
	f.cold(time.Minute, deliveredType)
	f.registry.Break(schematest.Fault{Denies: []int{id}})
	for i := range 10 {
		kafkatest.Produce(t, f.brokers, withSchemaID(f.record(collected(fmt.Sprintf("o-%d", i)), 1), id))
	}
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "records wait", func() bool {
		return counter(t, reg, "consumer_failures_total", "kind", "transient") >= 3
	})
	f.registry.Break(schematest.Fault{})
	f.awaitEffects(10)
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// A thousand records with as many unknown ids, on all partitions and between good ones, wait for
// one grace period and become dead letters. The good ones are handled.
func TestUnknownIDsShareOneGracePeriod(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const grace, bad = 4 * time.Second, 1000
	f.cold(grace, deliveredType)
	var rs []*kgo.Record
	for i := range bad {
		rs = append(rs, withSchemaID(f.record(collected(fmt.Sprintf("bad-%d", i)), 1), 5000+i))
		if i%10 == 0 {
			rs = append(rs, f.record(collected(fmt.Sprintf("good-%d", i)), 1))
		}
	}
	kafkatest.Produce(t, f.brokers, rs...)
	began := time.Now()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	kafkatest.Eventually(t, "dead letters", func() bool { return f.deadLetters() == bad })
	took := time.Since(began)
	if took < grace {
		t.Errorf("judged after %v, before the grace period was over", took)
	}
	// Later records of a partition wait a thirtieth of the grace period. The rest is the machine's
	// time for a thousand dead letters.
	t.Logf("%v for %d unknown ids with a grace period of %v", took, bad, grace)
	if took > 10*grace {
		t.Errorf("%v: more than ten grace periods", took)
	}
	f.awaitEffects(bad / 10)
}

// A registry that accepts connections and never answers delays only the records that need it. Ready
// reports it within seconds.
func TestAHangingRegistryHoldsUpNoOtherPartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cold(time.Minute, deliveredType)
	producer := kafkatest.NewClient(t, f.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(r *kgo.Record, partition int32) {
		r.Partition = partition
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	f.registry.Break(schematest.Fault{Hangs: true})
	for i := range 20 { // as many ids, so that each would be a request of 2 s
		produce(withSchemaID(f.record(collected(fmt.Sprintf("waits-%d", i)), 1), 7000+i), 0)
	}
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
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
		produce(f.record(collected(fmt.Sprintf("goes-%d", i)), 1), 1)
		f.awaitEffects(i + 1)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 records with known ids took %v", took)
	}
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// No call is made whose outcome could not be published, and no attempt is spent. The record goes on
// by itself when the registry accepts the schema.
func TestNoCallWhileItsOutcomeCannotBeReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	confirmedType := sample.TypeOf[sample.ParcelLabelled]()
	// A registry that lacks the schemas that the handler emits.
	other := schematest.Start(t)
	f.registry = other
	f.cold(time.Minute, deliveredType)
	f.outbox = outbox.New(outbox.Config{Source: "/test", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode})
	other.Break(schematest.Fault{ReadOnly: true})
	kafkatest.Produce(t, f.brokers, f.record(collected("o-1"), 1))
	var calls atomic.Int64
	sub := onCall(
		func(context.Context, consumer.Event[sample.ParcelCollected]) (int, error) {
			calls.Add(1)
			return 1, nil
		},
		func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], _ int) error {
			if e.Attempt != 1 {
				t.Errorf("attempt %d", e.Attempt)
			}
			if err := f.outbox.Append(ctx, tx, outbox.Entry{Event: confirmed(e.Data.ParcelID), Version: 1, Cause: e.Cause()}); err != nil {
				return err
			}
			return effect(ctx, tx, e.Data.ParcelID, "confirmed")
		}).Emits(confirmedType)
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	kafkatest.Eventually(t, "not ready because of the registry", func() bool {
		err := c.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "schema")
	})
	if n := calls.Load(); n != 0 {
		t.Fatalf("%d calls were made", n)
	}
	other.Break(schematest.Fault{})
	f.awaitEffects(1)
	if n, letters := calls.Load(), f.deadLetters(); n != 1 || letters != 0 {
		t.Errorf("%d calls, %d dead letters", n, letters)
	}
}
