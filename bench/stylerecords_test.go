package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/shop"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

// TestRecordsAreCountedByStyleAndKind: facts, commands and answers of the orders, and nothing of others.
func TestRecordsAreCountedByStyleAndKind(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, events.Topics()...)
	record := func(topic, eventType, order string) *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte(order), Value: []byte("12345"), Headers: []kgo.RecordHeader{{Key: event.HeaderType, Value: []byte(eventType)}}}
	}
	kafkatest.Produce(t, brokers,
		record(events.TopicOrderEvents, "OrderCreated", "o"), record(events.TopicPaymentCommands, "ChargePayment", "o"),
		record(events.TopicPaymentEvents, "PaymentCompleted", "o"), record(events.TopicOrderEvents, "OrderCommandAnswered", "o"),
		record(events.TopicOrderEvents, "OrderCreated", "c"), record(events.TopicOrderEvents, "OrderCreated", "stranger"),
	)
	all, err := tallies(t.Context(), &shop.Stack{Kafka: brokers}, map[string][]shop.Placed{orchestrated: {{ID: "o"}}, choreographed: {{ID: "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	size := func(eventType string) float64 {
		return float64(len("o") + len("12345") + len(event.HeaderType) + len(eventType))
	}
	want := tally{
		facts:    amount{2, size("OrderCreated") + size("PaymentCompleted")},
		commands: amount{1, size("ChargePayment")}, answers: amount{1, size("OrderCommandAnswered")},
	}
	if got := *all[orchestrated]; got != want {
		t.Errorf("orchestrated: %+v, want %+v", got, want)
	}
	if got, want := *all[choreographed], (tally{facts: amount{1, size("OrderCreated")}}); got != want {
		t.Errorf("choreographed: %+v, want %+v", got, want)
	}
}
