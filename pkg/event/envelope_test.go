package event_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
)

func envelope() event.Envelope {
	return event.Envelope{
		ID:               uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"),
		Source:           "/lockers/parcel",
		Type:             "ParcelAccepted",
		Subject:          "o-1",
		AggregateVersion: 3,
		Time:             time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC),
		Style:            event.Orchestrated,
		CorrelationID:    "c-1",
		CausationID:      "01890a5d-ac96-774b-bcce-b302099a8056",
		ContentType:      event.ContentTypeAvro,
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
		"ce_source":           "/lockers/parcel",
		"ce_type":             "ParcelAccepted",
		"ce_subject":          "o-1",
		"ce_time":             "2024-02-29T23:59:59.123456Z",
		"ce_aggregateversion": "3",
		"ce_sagastyle":        "orchestrated",
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
		want := event.Envelope{
			ID:               id,
			Source:           text.Draw(t, "source"),
			Type:             text.Draw(t, "type"),
			Subject:          text.Draw(t, "subject"),
			AggregateVersion: rapid.Int64Min(1).Draw(t, "version"),
			Time:             time.UnixMicro(rapid.Int64Range(0, 253402300799999999).Draw(t, "time")).UTC(),
			Style:            rapid.SampledFrom([]event.Style{event.Choreographed, event.Orchestrated}).Draw(t, "style"),
			CorrelationID:    optional.Draw(t, "correlation"),
			CausationID:      optional.Draw(t, "causation"),
			ContentType:      event.ContentTypeAvro,
			TraceParent:      optional.Draw(t, "traceparent"),
			TraceState:       optional.Draw(t, "tracestate"),
		}
		headers := append(want.Headers(), event.Header{Key: "dlq_group", Value: []byte{0xff}})
		got, err := event.ParseEnvelope(headers)
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
	headers := with(envelope().Headers(), event.HeaderTime, "2024-03-01T01:59:59.123456789+02:00")
	got, err := event.ParseEnvelope(headers)
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
		event.HeaderStyle, event.HeaderCorrelationID, event.HeaderCausationID, event.HeaderTraceParent, event.HeaderTraceState,
	}
	for _, h := range envelope().Headers() {
		_, err := event.ParseEnvelope(without(envelope().Headers(), h.Key))
		if slices.Contains(optional, h.Key) {
			if err != nil {
				t.Errorf("without %s: %v", h.Key, err)
			}
			continue
		}
		wantHopeless(t, err, h.Key)
		_, err = event.ParseEnvelope(with(envelope().Headers(), h.Key, ""))
		wantHopeless(t, err, h.Key)
	}
	_, err := event.ParseEnvelope(nil)
	wantHopeless(t, err, event.HeaderSpecVersion)
}

func TestBadHeaders(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct{ name, key, value string }{
		{"other version of CloudEvents", event.HeaderSpecVersion, "0.3"},
		{"id is no UUID", event.HeaderID, "42"},
		{"id is a random UUID", event.HeaderID, "7a2b1f0e-6d4c-4c1e-9f0a-2b3c4d5e6f70"},
		{"id is not in canonical form", event.HeaderID, "{01890a5d-ac96-774b-bcce-b302099a8057}"},
		{"id is in upper case", event.HeaderID, "01890A5D-AC96-774B-BCCE-B302099A8057"},
		{"time is no time", event.HeaderTime, "yesterday"},
		{"time is of no calendar", event.HeaderTime, "2023-02-29T00:00:00Z"},
		{"version is no number", event.HeaderAggregateVersion, "first"},
		{"version is zero", event.HeaderAggregateVersion, "0"},
		{"version is negative", event.HeaderAggregateVersion, "-1"},
		{"version overflows", event.HeaderAggregateVersion, "9223372036854775808"},
		{"NUL", event.HeaderSubject, "o\x00"},
		{"line break", event.HeaderSource, "a\nb"},
		{"invalid UTF-8", event.HeaderCorrelationID, "\xff"},
		{"style is unknown", event.HeaderStyle, "danced"},
		{"style is empty", event.HeaderStyle, ""},
		{"style is in upper case", event.HeaderStyle, "Orchestrated"},
		{"too long", event.HeaderTraceState, strings.Repeat("x", 5000)},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			_, err := event.ParseEnvelope(with(envelope().Headers(), bad.key, bad.value))
			wantHopeless(t, err, bad.key)
		})
	}
}

// TestEventsOfBeforeAreChoreographed: an earlier release wrote no style, and every saga was
// choreographed.
func TestEventsOfBeforeAreChoreographed(t *testing.T) {
	t.Parallel()
	headers := without(envelope().Headers(), event.HeaderStyle)
	parsed, err := event.ParseEnvelope(headers)
	read, replaced, err2 := event.ReadEnvelope(headers, time.Now())
	if err != nil || err2 != nil || parsed.Style != event.Choreographed || read.Style != event.Choreographed || replaced != nil {
		t.Errorf("parsed %q, %v; read %q, replaced %v, %v", parsed.Style, err, read.Style, replaced, err2)
	}
	for _, h := range (event.Envelope{}).Headers() {
		if h.Key == event.HeaderStyle && string(h.Value) != "choreographed" {
			t.Errorf("the zero style is written as %q", h.Value)
		}
	}
}

func TestAStyleIsContradicted(t *testing.T) {
	t.Parallel()
	const none, a, b = event.Style(""), event.Choreographed, event.Orchestrated
	for _, c := range []struct {
		stored event.Style
		said   []event.Style
		want   event.Style // what contradicts
	}{
		{a, nil, none}, {a, []event.Style{none, none}, none}, {a, []event.Style{a, a}, none},
		{a, []event.Style{b}, b}, {a, []event.Style{none, b}, b}, {b, []event.Style{b, a}, a},
		{none, []event.Style{b, none}, none}, {none, []event.Style{b, b}, none}, {none, []event.Style{b, a}, a}, {none, nil, none},
	} {
		if got := c.stored.Contradiction(c.said...); got != c.want {
			t.Errorf("%q stored, %q said: contradicted by %q, want %q", c.stored, c.said, got, c.want)
		}
		if got := c.stored.Contradicts(c.said...); got != (c.want != none) {
			t.Errorf("%q stored, %q said: contradicted %t", c.stored, c.said, got)
		}
	}
}

func TestHeaderGivenTwice(t *testing.T) {
	t.Parallel()
	for _, h := range envelope().Headers() {
		_, err := event.ParseEnvelope(append(envelope().Headers(), h))
		wantHopeless(t, err, h.Key)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, h := range envelope().Headers() {
		f.Add(h.Key, h.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		got, err := event.ParseEnvelope(with(envelope().Headers(), key, string(value)))
		if err != nil {
			wantHopeless(t, err, key)
			return
		}
		again, err := event.ParseEnvelope(got.Headers())
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

func without(headers []event.Header, key string) []event.Header {
	return slices.DeleteFunc(headers, func(h event.Header) bool { return h.Key == key })
}

func with(headers []event.Header, key, value string) []event.Header {
	return append(without(headers, key), event.Header{Key: key, Value: []byte(value)})
}
