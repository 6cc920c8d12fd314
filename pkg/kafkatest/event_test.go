package kafkatest_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

type encoder []byte

func (e encoder) Encode(context.Context, events.Event) ([]byte, error) { return e, nil }

func TestRecordCarriesItsEnvelope(t *testing.T) {
	r := kafkatest.Record(t, encoder("value"), events.OrderShipped{OrderID: "o-1"},
		func(e *events.Envelope) { e.AggregateVersion = 7 })
	if r.Topic != events.TopicOrderEvents || string(r.Key) != "o-1" || string(r.Value) != "value" {
		t.Errorf("record %s %s %s", r.Topic, r.Key, r.Value)
	}
	want := events.Envelope{
		Source: "/eventshop/test", Type: "OrderShipped", Subject: "o-1", AggregateVersion: 7,
		CorrelationID: "o-1", ContentType: events.ContentTypeAvro,
	}
	got := kafkatest.Envelope(t, r)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(events.Envelope{}, "ID", "Time")); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if again := kafkatest.Envelope(t, kafkatest.Record(t, encoder(nil), events.OrderShipped{OrderID: "o-1"})); again.ID == got.ID {
		t.Error("two records have one id")
	}
}
