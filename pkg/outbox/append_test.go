package outbox

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
)

func newAppendFixture(t *testing.T) (*fixture, *schema.Codec) {
	t.Helper()
	codec := schematest.Start(t).Codec()
	f := newFixture(t, kafkatest.Start(t, testTopic, events.Topic{Name: events.TopicOrderNotifications, Partitions: 1}))
	f.out = New(codec, "/eventshop/order")
	return f, codec
}

func TestAppendedEventsArriveDecodableAndInOrder(t *testing.T) {
	t.Parallel()
	f, codec := newAppendFixture(t)
	occurred := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cause := Cause{CorrelationID: "corr", CausationID: "cause", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	confirmed := events.OrderConfirmed{OrderID: "o-1", TrackingID: "t", OccurredAt: occurred}
	shipped := events.OrderShipped{OrderID: "o-1", TrackingID: "t", OccurredAt: occurred}
	placed := events.OrderPlaced{OrderID: "o-1", OccurredAt: occurred}

	tx := f.begin(t)
	err := f.out.Append(t.Context(), tx,
		Entry{Event: confirmed, Version: 3, Cause: cause},
		Entry{Event: shipped, Version: 4, AggregateID: "agg"},
		Entry{Event: placed, Version: 4})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	f.out.Wake()
	f.start(t, RelayConfig{})
	f.awaitPublished(t)

	records := kafkatest.ReadAll(t, f.brokers, events.TopicOrderEvents)
	if len(records) != 2 {
		t.Fatalf("got %d records, want 2", len(records))
	}
	var envelopes []events.Envelope
	for i, want := range []events.Event{&confirmed, &shipped} {
		e := kafkatest.Envelope(t, records[i])
		envelopes = append(envelopes, e)
		typ, _ := events.Lookup(e.Type)
		got, err := codec.Decode(t.Context(), typ, records[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
		if string(records[i].Key) != "o-1" {
			t.Errorf("key %q, want the order id", records[i].Key)
		}
	}
	a, b := envelopes[0], envelopes[1]
	if got := (Cause{a.CorrelationID, a.CausationID, a.TraceParent, a.TraceState}); got != cause {
		t.Errorf("cause %+v, want %+v", got, cause)
	}
	if a.Source != "/eventshop/order" || a.Subject != "o-1" || a.AggregateVersion != 3 || b.Subject != "agg" {
		t.Errorf("envelopes %+v and %+v", a, b)
	}
	if id := b.ID.String(); b.CorrelationID != id || b.CausationID != id || !telemetry.ValidTraceParent(b.TraceParent) {
		t.Errorf("an event without a cause starts a conversation and a trace, got %+v", b)
	}
	for i, r := range records {
		if len(r.Headers) != 12 {
			t.Errorf("event %d has %d headers, and no outbox row may lack one: %v", i, len(r.Headers), r.Headers)
		}
	}
	if n := len(kafkatest.ReadAll(t, f.brokers, events.TopicOrderNotifications)); n != 1 {
		t.Errorf("%d notifications, want 1", n)
	}
}

func TestAppendRefusesWhatNoConsumerWouldAccept(t *testing.T) {
	t.Parallel()
	f, _ := newAppendFixture(t)
	tx := f.begin(t)
	for name, c := range map[string]struct {
		entry Entry
		want  string
	}{
		"too large":         {Entry{Event: events.OrderConfirmed{OrderID: "o", TrackingID: strings.Repeat("x", MaxPayload)}, Version: 1}, "exceeds"},
		"version":           {Entry{Event: events.OrderConfirmed{OrderID: "o"}}, events.HeaderAggregateVersion},
		"control character": {Entry{Event: events.OrderConfirmed{OrderID: "o"}, Version: 1, Cause: Cause{CorrelationID: "a\x00"}}, events.HeaderCorrelationID},
	} {
		err := f.out.Append(t.Context(), tx, c.entry)
		if errs.KindOf(err) != errs.Hopeless || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a hopeless error with %q", name, err, c.want)
		}
	}
	if err := f.out.Append(t.Context(), tx, Entry{Event: events.OrderConfirmed{OrderID: "o", OccurredAt: time.Now()}, Version: 1}); err != nil {
		t.Errorf("the transaction is not usable after refused events: %v", err)
	}
}
