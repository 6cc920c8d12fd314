package plant_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
)

// TestWhatIsEmittedIsPublishedWithTheHeadersThatAreAdded runs a relay over an outbox. A planted
// record is published unchanged. After an agent adds a header, later records have that header
// behind their own.
func TestWhatIsEmittedIsPublishedWithTheHeadersThatAreAdded(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	if err := postgres.Migrate(t.Context(), dsn, outbox.Component()); err != nil {
		t.Fatal(err)
	}
	brokers := kafkatest.Start(t, event.Topic{Name: "a", Partitions: 1})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	relaying, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- relay.New(pool, outbox.New(outbox.Config{Source: "/test"}), relay.Config{Brokers: brokers}).Run(relaying)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	reader := kafkatest.NewClient(t, brokers, kgo.ConsumeTopics("a"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	published := func(e plant.Emitted) *kgo.Record {
		t.Helper()
		if err := plant.Emit(ctx, dsn, e); err != nil {
			t.Fatal(err)
		}
		for ctx.Err() == nil {
			if records := reader.PollRecords(ctx, 1).Records(); len(records) == 1 {
				return records[0]
			}
		}
		t.Fatal("the record is not published")
		return nil
	}
	emitted := func() plant.Emitted {
		return plant.Emitted{Topic: "a", Key: bytes.Repeat([]byte{0xfe}, 3000), Value: []byte{0, 1}, Envelope: event.Envelope{
			Style: event.Orchestrated, ID: uuid.Must(uuid.NewV7()), Source: "/test", Type: "Planted", Subject: "s", AggregateVersion: 7,
			Time: time.Now().UTC().Truncate(time.Microsecond), CorrelationID: "c", ContentType: event.ContentTypeAvro,
			TraceParent: "00-11111111111111111111111111111111-2222222222222222-01",
		}}
	}

	e := emitted()
	r := published(e)
	if !bytes.Equal(r.Key, e.Key) || !bytes.Equal(r.Value, e.Value) {
		t.Errorf("key of %d bytes and value % x are published", len(r.Key), r.Value)
	}
	if got := kafkatest.Envelope(t, r); got != e.Envelope {
		t.Errorf("envelope %+v, want %+v", got, e.Envelope)
	}

	remove, err := plant.AddHeader(ctx, dsn, event.HeaderTraceParent, "it's a 'second' \\ one")
	if err != nil {
		t.Fatal(err)
	}
	parents := func(r *kgo.Record) (all []string) {
		for _, h := range r.Headers {
			if h.Key == event.HeaderTraceParent {
				all = append(all, string(h.Value))
			}
		}
		return all
	}
	if got, want := parents(published(emitted())), []string{e.Envelope.TraceParent, "it's a 'second' \\ one"}; !slices.Equal(got, want) {
		t.Errorf("traceparents %q, want %q", got, want)
	}
	undo(t, remove)
	if got := parents(published(emitted())); len(got) != 1 {
		t.Errorf("traceparents %q after the agent is gone", got)
	}
}

func TestEmitNeedsAnOutbox(t *testing.T) {
	t.Parallel()
	if err := plant.Emit(t.Context(), database(t), plant.Emitted{Topic: "a"}); err == nil {
		t.Error("a database without an outbox is no error")
	}
}
