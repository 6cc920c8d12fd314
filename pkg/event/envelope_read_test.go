package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
)

var recorded = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)

// Wrong advisory headers are replaced and named, and the event is read.
func TestAdvisoryHeadersNeverCondemn(t *testing.T) {
	t.Parallel()
	second := func(key, value string) []event.Header {
		return append(envelope().Headers(), event.Header{Key: key, Value: []byte(value)})
	}
	for name, c := range map[string]struct {
		headers []event.Header
		header  string
		change  func(*event.Envelope)
	}{
		"a second traceparent": {
			second(event.HeaderTraceParent, "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00"), event.HeaderTraceParent,
			func(e *event.Envelope) { e.TraceParent, e.TraceState = "", "" },
		},
		"a second tracestate": {second(event.HeaderTraceState, "x=2"), event.HeaderTraceState, func(e *event.Envelope) { e.TraceState = "" }},
		"the same traceparent again": {
			second(event.HeaderTraceParent, envelope().TraceParent), event.HeaderTraceParent, func(*event.Envelope) {},
		},
		"the same id again":     {second(event.HeaderID, envelope().ID.String()), "", func(*event.Envelope) {}},
		"two correlation ids":   {second(event.HeaderCorrelationID, "c-2"), event.HeaderCorrelationID, func(e *event.Envelope) { e.CorrelationID = "" }},
		"a binary causation id": {with(envelope().Headers(), event.HeaderCausationID, "\xff\x00"), event.HeaderCausationID, func(e *event.Envelope) { e.CausationID = "" }},
		"a long correlation id": {
			with(envelope().Headers(), event.HeaderCorrelationID, strings.Repeat("c", 5000)), event.HeaderCorrelationID,
			func(e *event.Envelope) { e.CorrelationID = "" },
		},
		"no source":             {without(envelope().Headers(), event.HeaderSource), event.HeaderSource, func(e *event.Envelope) { e.Source = "" }},
		"another spec version":  {with(envelope().Headers(), event.HeaderSpecVersion, "2.0"), event.HeaderSpecVersion, func(*event.Envelope) {}},
		"no time":               {without(envelope().Headers(), event.HeaderTime), event.HeaderTime, func(e *event.Envelope) { e.Time = recorded }},
		"a time that is none":   {with(envelope().Headers(), event.HeaderTime, "noon"), event.HeaderTime, func(e *event.Envelope) { e.Time = recorded }},
		"an empty content type": {with(envelope().Headers(), event.HeaderContentType, ""), event.HeaderContentType, func(*event.Envelope) {}},
		"no trace at all": {
			without(without(envelope().Headers(), event.HeaderTraceParent), event.HeaderTraceState), "",
			func(e *event.Envelope) { e.TraceParent, e.TraceState = "", "" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := envelope()
			c.change(&want)
			got, replaced, err := event.ReadEnvelope(c.headers, recorded)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("envelope (-want +got):\n%s", diff)
			}
			var named []string
			if c.header != "" {
				named = []string{c.header}
			}
			if diff := cmp.Diff(named, replaced); diff != "" {
				t.Errorf("replaced (-want +got):\n%s", diff)
			}
		})
	}
}

// A wrong header that identity and order need makes the record unusable. What could be read is
// returned all the same.
func TestIdentityCondemns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, value string }{
		{event.HeaderID, "42"}, {event.HeaderID, ""},
		{event.HeaderType, "a\nb"}, {event.HeaderType, strings.Repeat("t", 5000)},
		{event.HeaderSubject, ""}, {event.HeaderSubject, "\xff"},
		{event.HeaderAggregateVersion, "0"}, {event.HeaderAggregateVersion, "9223372036854775808"},
		{event.HeaderStyle, "danced"}, {event.HeaderStyle, ""}, {event.HeaderStyle, strings.Repeat("s", 5000)},
	} {
		env, _, err := event.ReadEnvelope(with(envelope().Headers(), c.header, c.value), recorded)
		wantHopeless(t, err, c.header)
		if c.header != event.HeaderType && env.Type != "ParcelAccepted" {
			t.Errorf("with a bad %s the type is read as %q", c.header, env.Type)
		}
		_, _, err = event.ReadEnvelope(append(envelope().Headers(), event.Header{Key: c.header, Value: []byte("other")}), recorded)
		wantHopeless(t, err, c.header)
	}
}

func TestStorableTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want time.Time }{
		{recorded.Add(1234567 * time.Nanosecond), recorded.Add(1234 * time.Microsecond)},
		{time.UnixMilli(-1 << 62), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.UnixMilli(1 << 62), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{time.Time{}, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := event.StorableTime(c.in); !got.Equal(c.want) {
			t.Errorf("StorableTime(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
