package outbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
)

// fixture is an outbox with the codec of real events, and a broker.
type fixture struct {
	*outboxtest.Table
	brokers []string
}

func newFixture(t *testing.T) (*fixture, *schema.Codec) {
	t.Helper()
	codec := schematest.Start(t).Codec(sample.Catalogue())
	brokers := kafkatest.Start(t, event.Topic{Name: sample.TopicParcelEvents, Partitions: 3}, event.Topic{Name: sample.TopicParcelNotifications, Partitions: 1})
	f := &fixture{outboxtest.New(t), brokers}
	f.Out = outbox.New(outbox.Config{Source: "/lockers/parcel", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	return f, codec
}

// publish runs a relay until every row is published.
func (f *fixture) publish(t *testing.T) {
	t.Helper()
	r := relay.New(f.Pool, f.Out, relay.Config{Brokers: f.brokers})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	kafkatest.Eventually(t, "all rows to be published", func() bool { return f.Unpublished(t) == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAppendedEventsArriveDecodableAndInOrder(t *testing.T) {
	t.Parallel()
	f, codec := newFixture(t)
	occurred := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cause := outbox.Cause{CorrelationID: "corr", CausationID: "cause", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	labelled := sample.ParcelLabelled{ParcelID: "o-1", LabelID: "t", OccurredAt: occurred}
	moved := sample.ParcelMoved{ParcelID: "o-1", LabelID: "t", OccurredAt: occurred}
	noted := sample.ParcelNoted{ParcelID: "o-1", OccurredAt: occurred}
	own := uuid.Must(uuid.NewV7())

	tx := f.Begin(t)
	err := f.Out.Append(t.Context(), tx,
		outbox.Entry{Event: labelled, Version: 3, Cause: cause},
		outbox.Entry{ID: own, Event: moved, Version: 4, AggregateID: "agg"},
		outbox.Entry{Event: noted, Version: 4})
	if err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	f.Out.Wake()
	f.publish(t)

	records := kafkatest.ReadAll(t, f.brokers, sample.TopicParcelEvents)
	if len(records) != 2 {
		t.Fatalf("got %d records, want 2", len(records))
	}
	var envelopes []event.Envelope
	for i, want := range []event.Event{&labelled, &moved} {
		e := kafkatest.Envelope(t, records[i])
		envelopes = append(envelopes, e)
		typ, _ := sample.Catalogue().Lookup(e.Type)
		got, err := codec.Decode(t.Context(), typ, records[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
		if string(records[i].Key) != "o-1" {
			t.Errorf("key %q, want the parcel id", records[i].Key)
		}
	}
	cause.Style = event.Choreographed // of a cause that does not say
	a, b := envelopes[0], envelopes[1]
	if got := (outbox.Cause{a.Style, a.CorrelationID, a.CausationID, a.TraceParent, a.TraceState}); got != cause {
		t.Errorf("cause %+v, want %+v", got, cause)
	}
	if a.Source != "/lockers/parcel" || a.Subject != "o-1" || a.AggregateVersion != 3 || b.Subject != "agg" {
		t.Errorf("envelopes %+v and %+v", a, b)
	}
	if a.ID.Version() != 7 || b.ID != own {
		t.Errorf("ids %s and %s, want a fresh UUIDv7 and the entry's own %s", a.ID, b.ID, own)
	}
	if id := b.ID.String(); b.CorrelationID != id || b.CausationID != id || !telemetry.ValidTraceParent(b.TraceParent) {
		t.Errorf("an event without a cause starts a conversation and a trace, got %+v", b)
	}
	for i, r := range records {
		if len(r.Headers) != 13 {
			t.Errorf("event %d has %d headers, and no outbox row may lack one: %v", i, len(r.Headers), r.Headers)
		}
	}
	if n := len(kafkatest.ReadAll(t, f.brokers, sample.TopicParcelNotifications)); n != 1 {
		t.Errorf("%d notifications, want 1", n)
	}
}

func TestAppendRefusesWhatNoConsumerWouldAccept(t *testing.T) {
	t.Parallel()
	f, _ := newFixture(t)
	tx := f.Begin(t)
	for name, c := range map[string]struct {
		entry outbox.Entry
		want  string
	}{
		"too large":         {outbox.Entry{Event: sample.ParcelLabelled{ParcelID: "o", LabelID: strings.Repeat("x", outbox.MaxPayload)}, Version: 1}, "exceeds"},
		"version":           {outbox.Entry{Event: sample.ParcelLabelled{ParcelID: "o"}}, event.HeaderAggregateVersion},
		"control character": {outbox.Entry{Event: sample.ParcelLabelled{ParcelID: "o"}, Version: 1, Cause: outbox.Cause{CorrelationID: "a\x00"}}, event.HeaderCorrelationID},
	} {
		err := f.Out.Append(t.Context(), tx, c.entry)
		if errs.KindOf(err) != errs.Hopeless || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a hopeless error with %q", name, err, c.want)
		}
	}
	if err := f.Out.Append(t.Context(), tx, outbox.Entry{Event: sample.ParcelLabelled{ParcelID: "o", OccurredAt: time.Now()}, Version: 1}); err != nil {
		t.Errorf("the transaction is not usable after refused events: %v", err)
	}
}

func TestAppendRawRefusesWhatCanNotBeSent(t *testing.T) {
	t.Parallel()
	f := outboxtest.New(t)
	tx := f.Begin(t)
	id := uuid.Must(uuid.NewV7())
	for name, c := range map[string]struct {
		raw  outbox.Raw
		want string
	}{
		"too large": {outbox.Raw{ID: id, Topic: "t", Payload: make([]byte, outbox.MaxRaw), Key: []byte("k")}, "exceed"},
		"no topic":  {outbox.Raw{ID: id}, "no topic"},
		"no id":     {outbox.Raw{Topic: "t"}, "no id"},
	} {
		err := f.Out.AppendRaw(t.Context(), tx, c.raw)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if err := f.Out.AppendRaw(t.Context(), tx); err != nil {
		t.Errorf("nothing to append: %v", err)
	}
}

// One statement adds the rows and their entries in the queue. Both have the order of the arguments.
func TestAppendQueuesItsRows(t *testing.T) {
	t.Parallel()
	f := outboxtest.New(t)
	tx := f.Begin(t)
	f.Insert(t, tx, "a", "b", "a", "c")
	f.Raws(t, tx, 10, "raw")
	outboxtest.Commit(t, tx)
	rows, err := f.Pool.Query(t.Context(), `SELECT format('%s %s/%s %s %s %s', q.seq, convert_from(o.key, 'UTF8'), coalesce(o.ce_aggregateversion, 0), q.publication, q.raw, q.captured)
		FROM outbox_queue q JOIN outbox o ON o.id = q.id AND o.seq = q.seq AND o.shard = q.shard ORDER BY q.seq`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1 a/1 0 f t", "2 b/1 0 f t", "3 a/2 0 f t", "4 c/1 0 f t", "5 raw/0 0 t f"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
}
