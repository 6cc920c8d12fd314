package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
)

var recorded = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)

// Advice that is wrong is replaced and named; the event is read.
func TestAdvisoryHeadersNeverCondemn(t *testing.T) {
	t.Parallel()
	second := func(key, value string) []events.Header {
		return append(envelope().Headers(), events.Header{Key: key, Value: []byte(value)})
	}
	for name, c := range map[string]struct {
		headers []events.Header
		header  string
		change  func(*events.Envelope)
	}{
		"a second traceparent": {
			second(events.HeaderTraceParent, "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00"), events.HeaderTraceParent,
			func(e *events.Envelope) { e.TraceParent, e.TraceState = "", "" },
		},
		"a second tracestate": {second(events.HeaderTraceState, "x=2"), events.HeaderTraceState, func(e *events.Envelope) { e.TraceState = "" }},
		"the same traceparent again": {
			second(events.HeaderTraceParent, envelope().TraceParent), events.HeaderTraceParent, func(*events.Envelope) {},
		},
		"the same id again":     {second(events.HeaderID, envelope().ID.String()), "", func(*events.Envelope) {}},
		"two correlation ids":   {second(events.HeaderCorrelationID, "c-2"), events.HeaderCorrelationID, func(e *events.Envelope) { e.CorrelationID = "" }},
		"a binary causation id": {with(envelope().Headers(), events.HeaderCausationID, "\xff\x00"), events.HeaderCausationID, func(e *events.Envelope) { e.CausationID = "" }},
		"a long correlation id": {
			with(envelope().Headers(), events.HeaderCorrelationID, strings.Repeat("c", 5000)), events.HeaderCorrelationID,
			func(e *events.Envelope) { e.CorrelationID = "" },
		},
		"no source":             {without(envelope().Headers(), events.HeaderSource), events.HeaderSource, func(e *events.Envelope) { e.Source = "" }},
		"another spec version":  {with(envelope().Headers(), events.HeaderSpecVersion, "2.0"), events.HeaderSpecVersion, func(*events.Envelope) {}},
		"no time":               {without(envelope().Headers(), events.HeaderTime), events.HeaderTime, func(e *events.Envelope) { e.Time = recorded }},
		"a time that is none":   {with(envelope().Headers(), events.HeaderTime, "noon"), events.HeaderTime, func(e *events.Envelope) { e.Time = recorded }},
		"an empty content type": {with(envelope().Headers(), events.HeaderContentType, ""), events.HeaderContentType, func(*events.Envelope) {}},
		"no trace at all": {
			without(without(envelope().Headers(), events.HeaderTraceParent), events.HeaderTraceState), "",
			func(e *events.Envelope) { e.TraceParent, e.TraceState = "", "" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := envelope()
			c.change(&want)
			got, replaced, err := events.ReadEnvelope(c.headers, recorded)
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

// What identity and order need condemns, and what could be read is there all the same.
func TestIdentityCondemns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, value string }{
		{events.HeaderID, "42"}, {events.HeaderID, ""},
		{events.HeaderType, "a\nb"}, {events.HeaderType, strings.Repeat("t", 5000)},
		{events.HeaderSubject, ""}, {events.HeaderSubject, "\xff"},
		{events.HeaderAggregateVersion, "0"}, {events.HeaderAggregateVersion, "9223372036854775808"},
	} {
		env, _, err := events.ReadEnvelope(with(envelope().Headers(), c.header, c.value), recorded)
		wantHopeless(t, err, c.header)
		if c.header != events.HeaderType && env.Type != "OrderCreated" {
			t.Errorf("with a bad %s the type is read as %q", c.header, env.Type)
		}
		_, _, err = events.ReadEnvelope(append(envelope().Headers(), events.Header{Key: c.header, Value: []byte("other")}), recorded)
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
		if got := events.StorableTime(c.in); !got.Equal(c.want) {
			t.Errorf("StorableTime(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
