package kafkatest_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
)

type encoder []byte

func (encoder) Types() event.Catalogue { return sample.Catalogue() }

func (e encoder) Encode(context.Context, event.Event) ([]byte, error) { return e, nil }

func TestRecordCarriesItsEnvelope(t *testing.T) {
	r := kafkatest.Record(t, encoder("value"), sample.ParcelLabelled{ParcelID: "o-1"},
		func(e *event.Envelope) { e.AggregateVersion = 7 })
	if r.Topic != sample.TopicParcelEvents || string(r.Key) != "o-1" || string(r.Value) != "value" {
		t.Errorf("record %s %s %s", r.Topic, r.Key, r.Value)
	}
	want := event.Envelope{
		Source: "/test", Type: "ParcelLabelled", Subject: "o-1", AggregateVersion: 7,
		Style: event.Choreographed, CorrelationID: "o-1", ContentType: event.ContentTypeAvro,
	}
	got := kafkatest.Envelope(t, r)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event.Envelope{}, "ID", "Time")); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if again := kafkatest.Envelope(t, kafkatest.Record(t, encoder(nil), sample.ParcelLabelled{ParcelID: "o-1"})); again.ID == got.ID {
		t.Error("two records have one id")
	}
}
