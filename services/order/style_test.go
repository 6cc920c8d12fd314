package order_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
)

// join makes a process of another service a member of its consumer group. The returned function lets it
// leave.
func join(t *testing.T, brokers []string, group, process string, topics ...string) (leave func()) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID(process), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	}()
	left := false
	leave = func() {
		if left {
			return
		}
		left = true
		cancel()
		<-done
		client.LeaveGroup()
		client.Close()
	}
	t.Cleanup(leave)
	return leave
}

func put(t *testing.T, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// TestGate: orders are orchestrated from the moment at which every process of every participant reads
// commands. A process of the release before closes the gate, and a restart while Kafka is away keeps it as it was.
func TestGate(t *testing.T) {
	t.Parallel()
	brokers := kafkatest.Start(t, events.Topics()...)
	registry := schematest.Start(t).URL
	cfg := order.Config{
		Config:       participant.Config{DatabaseURL: pgtest.NewURL(t), Brokers: brokers, RegistryURL: registry},
		SagaDeadline: time.Minute, SnapshotEvery: 10, ParticipantCheck: 50 * time.Millisecond,
	}
	url, stop := run(t, cfg)
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(url + "/readyz"); return status == http.StatusOK })
	says := func(what string, parts ...string) {
		t.Helper()
		kafkatest.Eventually(t, what, func() bool {
			_, body := get(url + "/sagas/style")
			for _, part := range parts {
				if !strings.Contains(body, part) {
					return false
				}
			}
			return true
		})
	}
	says("the first group without members", `"ready":false`, "the consumer group payment has no members")
	for group, topic := range map[string]string{
		"payment": events.TopicPaymentCommands, "inventory": events.TopicInventoryCommands, "orchestrator": events.TopicOrderEvents,
	} {
		join(t, brokers, group, group, topic, events.TopicShippingEvents)
	}
	old := join(t, brokers, "shipping", "shipping-before", events.TopicOrderEvents)
	says("the old process", `"ready":false`, "group shipping does not know styles: shipping-before at ", "shipping.commands")
	status, body := put(t, url+"/sagas/style", `{"orchestratedPercent": 100}`)
	if status != http.StatusConflict || !strings.Contains(body, "shipping-before") || !strings.Contains(body, "not-orchestrated") {
		t.Errorf("PUT behind the closed gate: %d %s", status, body)
	}
	join(t, brokers, "shipping", "shipping", events.TopicShippingCommands)
	old()
	says("the gate opens", `"ready":true`)
	kafkatest.Eventually(t, "the gauge", func() bool {
		_, body := get(url + "/metrics")
		return strings.Contains(body, "eventshop_orchestration_ready 1")
	})
	if status, body = put(t, url+"/sagas/style", `{"orchestratedPercent": 100}`); status != http.StatusOK || !strings.Contains(body, `"orchestratedPercent":100`) {
		t.Errorf("PUT: %d %s", status, body)
	}
	id := place(t, url, cart)

	codec := schema.NewCodec(schema.NewClient(registry), events.Catalogue())
	orchestrated := func(e *event.Envelope) { e.Style = event.Orchestrated }
	kafkatest.Produce(t, brokers, kafkatest.Record(t, codec, events.ShipmentFailed{OrderID: id, Reason: "ignored", OccurredAt: time.Now()}, orchestrated))
	for range 2 { // two commands, each with an id of its own
		kafkatest.Produce(t, brokers, kafkatest.Record(t, codec, events.ConfirmOrder{OrderID: id, TrackingID: "T1", OccurredAt: time.Now()}, orchestrated))
	}
	want := []string{"OrderCreated@2 orchestrated", "OrderConfirmed@3 orchestrated", "OrderCommandAnswered@4 orchestrated"}
	var got []string
	kafkatest.Eventually(t, "the answers", func() bool {
		got = nil
		for _, r := range kafkatest.ReadAll(t, brokers, events.TopicOrderEvents) {
			e := kafkatest.Envelope(t, r)
			got = append(got, fmt.Sprintf("%s@%d %s", e.Type, e.AggregateVersion, e.Style))
		}
		return len(got) >= len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, body := get(url + "/orders/" + id); !strings.Contains(body, `"saga":"orchestrated"`) || !strings.Contains(body, `"status":"CONFIRMED"`) || strings.Contains(body, `"failure"`) {
		t.Errorf("the order: %s", body)
	}

	stop()
	cfg.Brokers = []string{"127.0.0.1:1"}
	url, stop = run(t, cfg)
	says("a restart while Kafka is away", `"ready":true`, `"orchestratedPercent":100`)
	kafkatest.Eventually(t, "an order is accepted", func() bool {
		res, err := http.Post(url+"/orders", "application/json", strings.NewReader(cart))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusCreated && strings.Contains(string(body), `"saga":"orchestrated"`)
	})
	stop()

	// The old process is back, and runs when the service comes back.
	join(t, brokers, "shipping", "shipping-again", events.TopicOrderEvents)
	cfg.Brokers = brokers
	url, _ = run(t, cfg)
	says("the old process closes the gate", `"ready":false`, "shipping-again", `"orchestratedPercent":100`)
	kafkatest.Eventually(t, "orders are choreographed", func() bool {
		_, body := get(url + "/orders/" + place(t, url, cart))
		return strings.Contains(body, `"saga":"choreographed"`)
	})
}
