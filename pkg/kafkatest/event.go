package kafkatest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
)

// Encoder encodes the values of records; a schema.Codec is one.
type Encoder interface {
	Types() event.Catalogue
	Encode(ctx context.Context, e event.Event) ([]byte, error)
}

// Record returns an event as another service's relay sends it: on the catalogue's topic, under the
// event's key, with an envelope that has a new id, the present time, version 1, the key as
// correlation id, and no cause. Each change is applied to the envelope before it is converted to
// headers.
func Record(t testing.TB, codec Encoder, e event.Event, changes ...func(*event.Envelope)) *kgo.Record {
	t.Helper()
	typ, ok := codec.Types().Lookup(e.EventType())
	if !ok {
		t.Fatalf("%s is not in the catalogue", e.EventType())
	}
	value, err := codec.Encode(t.Context(), e)
	if err != nil {
		t.Fatalf("encode %s: %v", typ.Name, err)
	}
	key := e.AggregateKey()
	envelope := event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/test", Type: typ.Name, Subject: key, AggregateVersion: 1,
		Time: time.Now().UTC().Truncate(time.Microsecond), CorrelationID: key, ContentType: event.ContentTypeAvro,
	}
	for _, change := range changes {
		change(&envelope)
	}
	r := &kgo.Record{Topic: typ.Topic, Key: []byte(key), Value: value}
	for _, h := range envelope.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// Headers returns a record's headers in the type of package event.
func Headers(r *kgo.Record) []event.Header {
	var headers []event.Header
	for _, h := range r.Headers {
		headers = append(headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return headers
}

// Envelope returns the envelope in a record's headers, and ends the test when they are not an
// envelope.
func Envelope(t testing.TB, r *kgo.Record) event.Envelope {
	t.Helper()
	envelope, err := event.ParseEnvelope(Headers(r))
	if err != nil {
		t.Fatalf("headers of the record at offset %d of %s: %v", r.Offset, r.Topic, err)
	}
	return envelope
}
