package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/saga"
	"eventshop.example/ops/story"
)

// anOrchestratedStory is an order whose payment was late: an operator had ChargePayment sent again.
func anOrchestratedStory() story.Story {
	due := placed().Add(72 * time.Second)
	event := func(n int, id, typ, service, data string) story.Event {
		return story.Event{N: n, ID: id, Type: typ, Service: service, At: placed().Add(time.Duration(n) * time.Second), Published: true,
			Style: "orchestrated", Data: json.RawMessage(data), Copies: []story.Place{}}
	}
	return story.Story{
		OrderID: "019b76da-4001-7000-8000-000000004001", Style: "orchestrated", At: placed().Add(time.Minute),
		Order: &story.Order{Status: "PENDING", Style: "orchestrated"},
		Events: []story.Event{
			event(1, "a", "OrderCreated", "order", `{"totalAmount":2999,"currency":"GBP"}`),
			event(2, "b", "ChargePayment", "orchestrator", `{"orderId":"o"}`),
			event(3, "c", "ChargePayment", "orchestrator", `{"orderId":"o"}`),
			event(4, "d", "PaymentCommandAnswered", "payment", `{"command":"ChargePayment","outcome":"unchanged"}`),
		},
		Saga: &saga.Coordinated{
			Definition: 1, State: "RESERVING", Step: "reserve", Attempt: 1, DueAt: &due, Attention: "look\x1b[2J",
			Log: []saga.LogLine{
				{N: 1, At: placed(), Input: "OrderCreated", EventID: "a", Action: "apply", From: "NONE", To: "CHARGING", Command: "ChargePayment", CommandID: "b"},
				{N: 2, At: placed().Add(30 * time.Second), Input: "DuePassed", Action: "wait", From: "CHARGING", To: "CHARGING", Detail: "ChargePayment has no answer"},
				{N: 3, At: placed().Add(40 * time.Second), Input: "Retry", Action: "apply", From: "CHARGING", To: "CHARGING", Command: "ChargePayment", CommandID: "c"},
				{N: 4, At: placed().Add(50 * time.Second), Input: "ChargePayment: unchanged", EventID: "d", Action: "apply", From: "CHARGING", To: "RESERVING"},
			},
		},
		WaitsFor: []story.Wait{{Service: "inventory", To: story.ToAnswer, Event: "ReserveInventory", N: 5}},
	}
}

// printedSaga returns what shop saga show prints.
func printedSaga(t *testing.T, s story.Story, asJSON bool, next ...string) string {
	t.Helper()
	var out bytes.Buffer
	o := &operator{env: &env{out: &out}}
	o.asJSON = asJSON
	if err := o.printSaga(s, next); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPrintOrchestratedSaga(t *testing.T) {
	t.Parallel()
	text := strings.Join(squeezed(printedSaga(t, anOrchestratedStory(), false, "schedule", "confirm")), " ")
	for _, part := range []string{
		"order 019b76da-4001-7000-8000-000000004001 PENDING orchestrated",
		"saga RESERVING, definition 1, step reserve, command sent 1 time",
		"1 12:00:01.000 order OrderCreated → orchestrator NONE → CHARGING",
		"2 12:00:02.000 orchestrator ChargePayment → payment",
		"- 12:00:30.000 - DuePassed - CHARGING (wait)", "- 12:00:40.000 - Retry - CHARGING (apply)",
		"4 12:00:04.000 payment PaymentCommandAnswered → orchestrator CHARGING → RESERVING",
		"waits for: inventory to answer ReserveInventory", "the answer is late in 12s", `needs attention: "look\x1b[2J"`,
		"then: schedule, confirm",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}

// TestPrintChoreographedSaga: the events of the services are the messages, and the orchestrator has no
// part in them.
func TestPrintChoreographedSaga(t *testing.T) {
	t.Parallel()
	s := aStory()
	for i := range s.Events {
		s.Events[i].Style, s.Events[i].Data = "choreographed", json.RawMessage(`{}`)
	}
	text := strings.Join(squeezed(printedSaga(t, s, false, "inventory: InventoryReserved")), " ")
	for _, part := range []string{
		"PENDING choreographed", "OrderCreated → inventory, payment, shipping", "PaymentCompleted → inventory", "InventoryReserved → shipping",
		"waits for: payment to answer OrderCreated (breaker gateway is open", "then: inventory: InventoryReserved",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	if strings.Contains(text, "orchestrator") {
		t.Errorf("the orchestrator takes part:\n%s", text)
	}
}

func TestSagaAsJSON(t *testing.T) {
	t.Parallel()
	var got struct {
		OrderID, Style string
		Saga           saga.Coordinated
		Messages       []struct {
			Event *struct{ Type string }
			To    []string
			Line  *saga.LogLine
		}
		WaitsFor []story.Wait
		Next     []string
	}
	if err := json.Unmarshal([]byte(printedSaga(t, anOrchestratedStory(), true, "schedule")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Style != "orchestrated" || got.Saga.State != "RESERVING" || len(got.Messages) != 6 || len(got.WaitsFor) != 1 {
		t.Errorf("%+v", got)
	}
	if m := got.Messages[2]; m.Event != nil || m.Line == nil || m.Line.Input != "DuePassed" {
		t.Errorf("the third message: %+v", m)
	}
	if diff := cmp.Diff([]string{"schedule"}, got.Next); diff != "" {
		t.Error(diff)
	}
}

// TestStoryShowsCommands: shop order names the receiver of a command, and what an answer says.
func TestStoryShowsCommands(t *testing.T) {
	t.Parallel()
	text := strings.Join(squeezed(printed(t, anOrchestratedStory())), " ")
	for _, part := range []string{"command to payment", "ChargePayment is unchanged", "PENDING orchestrated"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func TestParsePercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "20%": 20, "100%": 100, "7": 7, "101": -1, "-1%": -1, "": -1, "%": -1, "half": -1, "20.5%": -1} {
		got, err := parsePercent(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
