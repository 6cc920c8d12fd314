package cdc

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

// sent is a record without its offset and timestamp, which depend on the relay.
type sent struct {
	Key, Value []byte
	Headers    []kgo.RecordHeader
	Partition  int32
}

// bothRelaysSendTheSame checks that the polling relay and Debezium send equal records for every
// event. Only the polling relay sends raw rows.
func bothRelaysSendTheSame(t *testing.T, w *world) {
	s := w.shop(t, "same")
	s.createSlot(t, "same_1")
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	placed := func(id, tracking string) event.Event {
		return events.OrderConfirmed{OrderID: id, TrackingID: tracking, OccurredAt: at}
	}
	cases := map[string]outbox.Entry{
		"plain":                {Event: placed("o-1", "t"), Version: 1},
		"all of a cause":       {Event: placed("o-2", "t"), Version: 2, Cause: outbox.Cause{CorrelationID: "c", CausationID: "d", TraceParent: trace, TraceState: "a=b,c=d"}},
		"no tracestate":        {Event: placed("o-3", "t"), Version: 3, Cause: outbox.Cause{CorrelationID: "c", CausationID: "d", TraceParent: trace}},
		"text of the rest":     {Event: placed("Größe-☃-𝄞", "\"'\\ 日本語"), Version: 4, AggregateID: "ein Ding: 'ü'", Cause: outbox.Cause{CorrelationID: `"[1, 2]"`, CausationID: "{}"}},
		"what looks like JSON": {Event: placed("true", "null"), Version: 5, AggregateID: "[]", Cause: outbox.Cause{CorrelationID: "1.50", CausationID: "2026-03-01"}},
		"the largest version":  {Event: placed("o-6", "t"), Version: 1<<63 - 1},
		"empty content":        {Event: placed("o-7", ""), Version: 7},
		"large":                {Event: placed("o-8", strings.Repeat("x", 890<<10)), Version: 8},
		"of another aggregate": {Event: placed("o-9", "t"), Version: 9, AggregateID: "agg-9"},
	}
	for name, e := range cases {
		e.Topic = s.topic
		cases[name] = e
		s.append(t, e)
	}
	var many []outbox.Entry
	for i := range 500 {
		many = append(many, s.event("m-"+itoa(i%100), int64(i/100+1)))
	}
	s.append(t, many...)
	raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: s.topic, Key: []byte("raw"), Headers: []event.Header{{Key: "x", Value: []byte{0xff}}}}
	if err := postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error { return s.out.AppendRaw(t.Context(), tx, raw) }); err != nil {
		t.Fatal(err)
	}
	total := len(cases) + len(many)

	_, stop := s.relay(t)
	until(t, "the polling relay", func() bool { return s.count(t, "id IN (SELECT id FROM outbox_queue)") == 0 })
	stop()
	first := s.records(t)
	if len(first) != total+1 {
		t.Fatalf("the polling relay sent %d records, want %d", len(first), total+1)
	}
	byPolling := map[string]sent{}
	for _, r := range first {
		if string(r.Key) != "raw" {
			byPolling[header(r, event.HeaderID)] = sent{r.Key, r.Value, r.Headers, r.Partition}
		}
	}

	c := s.connector("same_1")
	if err := w.connect.Put(t.Context(), c.Name(), c.Settings()); err != nil {
		t.Fatal(err)
	}
	if err := w.connect.AwaitRunning(t.Context(), c.Name()); err != nil {
		t.Fatal(err)
	}
	var all []*kgo.Record
	until(t, "Debezium's records", func() bool {
		all = s.records(t)
		return len(all) >= 2*total+1
	})
	if len(all) != 2*total+1 {
		t.Errorf("the topic has %d records, want %d", len(all), 2*total+1)
	}
	compared := 0
	old := map[[2]int64]bool{}
	for _, r := range first {
		old[[2]int64{int64(r.Partition), r.Offset}] = true
	}
	for _, r := range all {
		if old[[2]int64{int64(r.Partition), r.Offset}] {
			continue
		}
		want, ok := byPolling[header(r, event.HeaderID)]
		if !ok {
			t.Errorf("Debezium sent what the polling relay did not: key %q, headers %v", r.Key, r.Headers)
			continue
		}
		if diff := cmp.Diff(want, sent{r.Key, r.Value, r.Headers, r.Partition}); diff != "" {
			t.Errorf("key %q (-polling +debezium):\n%.2000s", r.Key, diff)
		}
		compared++
	}
	t.Logf("%d records compared", compared)
}
