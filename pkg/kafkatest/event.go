package kafkatest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
)

// Encoder writes the values of records; a schema.Codec is one.
type Encoder interface {
	Encode(ctx context.Context, e events.Event) ([]byte, error)
}

// Record returns an event as another service's relay sends it: on the catalogue's
// topic, under the event's key, with an envelope that has a new id, the present time,
// version 1, the key as correlation id, and no cause. Each change is applied to the
// envelope before it becomes headers.
func Record(t testing.TB, codec Encoder, e events.Event, changes ...func(*events.Envelope)) *kgo.Record {
	t.Helper()
	typ, ok := events.Lookup(e.EventType())
	if !ok {
		t.Fatalf("%s is not in the catalogue", e.EventType())
	}
	value, err := codec.Encode(t.Context(), e)
	if err != nil {
		t.Fatalf("encode %s: %v", typ.Name, err)
	}
	key := e.AggregateKey()
	envelope := events.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/eventshop/test", Type: typ.Name, Subject: key, AggregateVersion: 1,
		Time: time.Now().UTC().Truncate(time.Microsecond), CorrelationID: key, ContentType: events.ContentTypeAvro,
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

// Headers returns a record's headers as package events takes them.
func Headers(r *kgo.Record) []events.Header {
	var headers []events.Header
	for _, h := range r.Headers {
		headers = append(headers, events.Header{Key: h.Key, Value: h.Value})
	}
	return headers
}

// Envelope returns what a record's headers say, and ends the test when they are not an
// envelope.
func Envelope(t testing.TB, r *kgo.Record) events.Envelope {
	t.Helper()
	envelope, err := events.ParseEnvelope(Headers(r))
	if err != nil {
		t.Fatalf("headers of the record at offset %d of %s: %v", r.Offset, r.Topic, err)
	}
	return envelope
}
