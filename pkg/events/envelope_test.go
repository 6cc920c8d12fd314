package events_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
)

func envelope() events.Envelope {
	return events.Envelope{
		ID:               uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"),
		Source:           "/eventshop/order",
		Type:             "OrderCreated",
		Subject:          "o-1",
		AggregateVersion: 3,
		Time:             time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC),
		CorrelationID:    "c-1",
		CausationID:      "01890a5d-ac96-774b-bcce-b302099a8056",
		ContentType:      events.ContentTypeAvro,
		TraceParent:      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		TraceState:       "vendor=1",
	}
}

func TestEnvelopeHeaders(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, h := range envelope().Headers() {
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"ce_specversion":      "1.0",
		"ce_id":               "01890a5d-ac96-774b-bcce-b302099a8057",
		"ce_source":           "/eventshop/order",
		"ce_type":             "OrderCreated",
		"ce_subject":          "o-1",
		"ce_time":             "2024-02-29T23:59:59.123456Z",
		"ce_aggregateversion": "3",
		"ce_correlationid":    "c-1",
		"ce_causationid":      "01890a5d-ac96-774b-bcce-b302099a8056",
		"content-type":        "application/avro",
		"traceparent":         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate":          "vendor=1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[^\pC]{1,40}`)
	optional := rapid.OneOf(rapid.Just(""), text)
	rapid.Check(t, func(t *rapid.T) {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		want := events.Envelope{
			ID:               id,
			Source:           text.Draw(t, "source"),
			Type:             text.Draw(t, "type"),
			Subject:          text.Draw(t, "subject"),
			AggregateVersion: rapid.Int64Min(1).Draw(t, "version"),
			Time:             time.UnixMicro(rapid.Int64Range(0, 253402300799999999).Draw(t, "time")).UTC(),
			CorrelationID:    optional.Draw(t, "correlation"),
			CausationID:      optional.Draw(t, "causation"),
			ContentType:      events.ContentTypeAvro,
			TraceParent:      optional.Draw(t, "traceparent"),
			TraceState:       optional.Draw(t, "tracestate"),
		}
		headers := append(want.Headers(), events.Header{Key: "dlq_group", Value: []byte{0xff}})
		got, err := events.ParseEnvelope(headers)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("envelope (-want +got):\n%s", diff)
		}
	})
}

func TestTimeOfAnotherZoneIsReadAsUTCMicroseconds(t *testing.T) {
	t.Parallel()
	headers := with(envelope().Headers(), events.HeaderTime, "2024-03-01T01:59:59.123456789+02:00")
	got, err := events.ParseEnvelope(headers)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(envelope(), got); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

func TestMissingHeaders(t *testing.T) {
	t.Parallel()
	optional := []string{
		events.HeaderCorrelationID, events.HeaderCausationID, events.HeaderTraceParent, events.HeaderTraceState,
	}
	for _, h := range envelope().Headers() {
		_, err := events.ParseEnvelope(without(envelope().Headers(), h.Key))
		if slices.Contains(optional, h.Key) {
			if err != nil {
				t.Errorf("without %s: %v", h.Key, err)
			}
			continue
		}
		wantHopeless(t, err, h.Key)
		_, err = events.ParseEnvelope(with(envelope().Headers(), h.Key, ""))
		wantHopeless(t, err, h.Key)
	}
	_, err := events.ParseEnvelope(nil)
	wantHopeless(t, err, events.HeaderSpecVersion)
}

func TestBadHeaders(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct{ name, key, value string }{
		{"other version of CloudEvents", events.HeaderSpecVersion, "0.3"},
		{"id is no UUID", events.HeaderID, "42"},
		{"id is a random UUID", events.HeaderID, "7a2b1f0e-6d4c-4c1e-9f0a-2b3c4d5e6f70"},
		{"id is not in canonical form", events.HeaderID, "{01890a5d-ac96-774b-bcce-b302099a8057}"},
		{"id is in upper case", events.HeaderID, "01890A5D-AC96-774B-BCCE-B302099A8057"},
		{"time is no time", events.HeaderTime, "yesterday"},
		{"time is of no calendar", events.HeaderTime, "2023-02-29T00:00:00Z"},
		{"version is no number", events.HeaderAggregateVersion, "first"},
		{"version is zero", events.HeaderAggregateVersion, "0"},
		{"version is negative", events.HeaderAggregateVersion, "-1"},
		{"version overflows", events.HeaderAggregateVersion, "9223372036854775808"},
		{"NUL", events.HeaderSubject, "o\x00"},
		{"line break", events.HeaderSource, "a\nb"},
		{"invalid UTF-8", events.HeaderCorrelationID, "\xff"},
		{"too long", events.HeaderTraceState, strings.Repeat("x", 5000)},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			_, err := events.ParseEnvelope(with(envelope().Headers(), bad.key, bad.value))
			wantHopeless(t, err, bad.key)
		})
	}
}

func TestHeaderGivenTwice(t *testing.T) {
	t.Parallel()
	for _, h := range envelope().Headers() {
		_, err := events.ParseEnvelope(append(envelope().Headers(), h))
		wantHopeless(t, err, h.Key)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, h := range envelope().Headers() {
		f.Add(h.Key, h.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		got, err := events.ParseEnvelope(with(envelope().Headers(), key, string(value)))
		if err != nil {
			wantHopeless(t, err, key)
			return
		}
		again, err := events.ParseEnvelope(got.Headers())
		if err != nil || !cmp.Equal(got, again) {
			t.Errorf("%+v became %+v, %v", got, again, err)
		}
	})
}

func wantHopeless(t *testing.T, err error, header string) {
	t.Helper()
	if err == nil || errs.KindOf(err) != errs.Hopeless || !strings.Contains(err.Error(), header) {
		t.Errorf("error is %v of kind %v, want a hopeless one that names %s", err, errs.KindOf(err), header)
	}
}

func without(headers []events.Header, key string) []events.Header {
	return slices.DeleteFunc(headers, func(h events.Header) bool { return h.Key == key })
}

func with(headers []events.Header, key, value string) []events.Header {
	return append(without(headers, key), events.Header{Key: key, Value: []byte(value)})
}
