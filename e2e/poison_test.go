package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
)

// query runs SQL in a service's database and scans the one row.
func (s *stack) query(t testing.TB, service, sql string, into ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), sql).Scan(into...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestRubbishBecomesDeadLetters writes bytes that are no event to every partition of every topic:
// each group that reads the topic moves them to its dead-letter topic, once, and continues with the
// orders behind them.
func TestPoisonRecordsBecomeDeadLetters(t *testing.T) {
	s := shared(t)
	s.receive(t, "RUBBISH-1", 10)
	adm := s.admin(t)
	readers := map[string][]string{ // topic → groups that subscribe to it
		"order.events":       {"payment", "inventory", "shipping", "orchestrator", "notification", "projection"},
		"payment.events":     {"order", "inventory", "shipping", "orchestrator", "projection"},
		"inventory.events":   {"order", "payment", "shipping", "orchestrator", "projection"},
		"shipping.events":    {"order", "payment", "inventory", "orchestrator", "projection"},
		"order.commands":     {"order"},
		"payment.commands":   {"payment"},
		"inventory.commands": {"inventory"},
		"shipping.commands":  {"shipping"},

		"order.compensations":     {"order"},
		"payment.compensations":   {"payment"},
		"inventory.compensations": {"inventory"},
		"shipping.compensations":  {"shipping"},
		"order.notifications":     {"notification"},
	}
	before := map[string]int64{} // records on the dead-letter topics, of other tests
	for topic, groups := range readers {
		for _, group := range groups {
			dlq := topic + "." + group + ".dlq"
			ends, err := adm.ListEndOffsets(t.Context(), dlq)
			if err != nil {
				t.Fatal(err)
			}
			ends.Each(func(o kadm.ListedOffset) { before[dlq] += o.Offset })
		}
	}
	marker := fmt.Sprintf("rubbish-%d", time.Now().UnixNano())
	put, err := plant.Poison(t.Context(), s.Kafka, marker, slices.Collect(maps.Keys(readers))...)
	if err != nil {
		t.Fatal(err)
	}
	// The partitions move on: an order placed behind the undecodable records succeeds.
	a := post(t, s.URL["order"]+"/orders", orderBody("rubbish", "RUBBISH-1", 1))
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.awaitStatus(t, a.field(t, "orderId"), "DELIVERED")

	for topic, groups := range readers {
		for _, group := range groups {
			want, dlq := int64(put[topic]), topic+"."+group+".dlq"
			got := int64(-1)
			eventually(t, 30*time.Second, fmt.Sprintf("%d dead letters on %s (now %d)", want, dlq, got), func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				ends, err := adm.ListEndOffsets(ctx, dlq)
				if err != nil || ends.Error() != nil {
					return false
				}
				got = -before[dlq]
				ends.Each(func(o kadm.ListedOffset) { got += o.Offset })
				return got == want
			})
		}
	}
	// The dead letter has the original bytes and their origin.
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics("order.events.payment.dlq"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	found := 0
	for found == 0 && t.Context().Err() == nil {
		reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			if !strings.Contains(string(r.Value), marker) {
				return
			}
			h := map[string]string{}
			for _, x := range r.Headers {
				h[x.Key] = string(x.Value)
			}
			if string(r.Key) == "\xff\x00key" && h["dlq_original_topic"] == "order.events" && h["dlq_group"] == "payment" &&
				h["dlq_error_class"] == "hopeless" && h["dlq_error_message"] != "" && h["dlq_original_offset"] != "" {
				found++
			}
		})
	}
	s.verify(t)
}
