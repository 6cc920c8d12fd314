package story

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/saga"
	"eventshop.example/pkg/event"
)

// orchestratedStory returns a story of an orchestrated order. Each event is "Type" or "Type<n", caused
// by the nth; a command is of the orchestrator.
func orchestratedStory(status, types string) Story {
	s := storyOf(status, "")
	s.Style = "orchestrated"
	version := int64(0)
	for i, text := range strings.Fields(types) {
		typ, cause, caused := strings.Cut(text, "<")
		e := Event{N: i + 1, ID: id(i + 1), Type: typ, Published: true, ours: true, causation: id(i + 1), Style: "orchestrated"}
		if caused {
			var n int
			fmt.Sscan(cause, &n) //nolint:errcheck // a test with another text fails
			e.causation = id(n)
		}
		service, command := e.Command()
		e.Service = map[byte]string{'O': "order", 'P': "payment", 'I': "inventory", 'S': "shipping"}[typ[0]]
		if command {
			version++
			e.Service, e.Version = Orchestrator, version
		}
		if command && service == "" {
			panic(typ)
		}
		s.Events = append(s.Events, e)
	}
	return s
}

func TestWhatAnOrchestratedOrderWaitsFor(t *testing.T) {
	t.Parallel()
	const paid = "OrderCreated ChargePayment<1 PaymentCompleted<2 "                                                   // 3
	const reserved = paid + "ReserveInventory<3 InventoryReserved<4 "                                                 // 5
	const confirmed = reserved + "ScheduleShipment<5 ShipmentScheduled<6 ConfirmOrder<7 OrderConfirmed<8 "            // 9
	const failed = reserved + "ScheduleShipment<5 ShipmentFailed<6 ReleaseInventory<7 InventoryReleased<8 "           // 9
	const returning = paid + "ReserveInventory<3 InventoryReservationFailed<4 RefundPayment<5 PaymentRefundFailed<6 " // 7
	for _, c := range []struct{ status, types, want string }{
		{"PENDING", "OrderCreated", "orchestrator answer OrderCreated"},
		{"PENDING", "OrderCreated ChargePayment<1", "payment answer ChargePayment"},
		{"PENDING", paid, "orchestrator answer PaymentCompleted"},
		{"PENDING", paid + "ReserveInventory<3", "inventory answer ReserveInventory"},
		{"PENDING", paid + "ReserveInventory<3 InventoryCommandAnswered<4", "orchestrator answer InventoryCommandAnswered"},
		{"PENDING", reserved + "ScheduleShipment<5", "shipping answer ScheduleShipment"},
		{"PENDING", reserved + "ScheduleShipment<5 ShipmentScheduled<6 ConfirmOrder<7", "order answer ConfirmOrder"},
		{"CONFIRMED", confirmed, "carrier dispatch the parcel"},
		{"CONFIRMED", confirmed + "ShipmentDispatched", "order answer ShipmentDispatched"},
		{"SHIPPED", confirmed + "ShipmentDispatched OrderShipped<10", "carrier deliver the parcel"},
		{"SHIPPED", confirmed + "ShipmentDispatched OrderShipped<10 ShipmentDelivered", "order answer ShipmentDelivered"},
		{"DELIVERED", confirmed + "ShipmentDispatched OrderShipped<10 ShipmentDelivered OrderDelivered<12", ""},
		{"CANCELLING", reserved + "ScheduleShipment<5 OrderCancellationRequested", "orchestrator answer OrderCancellationRequested"},
		{"CANCELLING", reserved + "ScheduleShipment<5 OrderCancellationRequested CancelShipment<7", "shipping answer CancelShipment"},
		{"CANCELLING", failed + "OrderCancellationRequested", "orchestrator answer InventoryReleased"}, // it has turned back already
		{"PENDING", failed + "RefundPayment<9", "payment answer RefundPayment"},
		{"PENDING", failed + "RefundPayment<9 RefundPayment<9", "payment answer RefundPayment"},
		{"PENDING", failed + "RefundPayment<9 RefundPayment<9 PaymentRefunded<10", "orchestrator answer PaymentRefunded"}, // one answer to both
		{"PENDING", failed + "RefundPayment<9 PaymentRefunded<10 CancelOrder<11", "order answer CancelOrder"},
		{"PENDING", returning, "operator have the refund tried again PaymentRefundFailed"},
	} {
		s := orchestratedStory(c.status, c.types)
		if got, _ := waiting(s, nil); waits(got) != c.want {
			t.Errorf("%s %s: %q, want %q", c.status, c.types, waits(got), c.want)
		}
	}
	s := orchestratedStory("PENDING", "OrderCreated ChargePayment<1")
	holds := []saga.Hold{{Kind: saga.DeadLetter, Group: "payment"}, {Kind: saga.Asks, Group: "orchestrator"}}
	got, rest := waiting(s, holds)
	if waits(got) != "payment answer ChargePayment: dead letter" || len(rest) != 1 {
		t.Errorf("%s, and %v", waits(got), rest)
	}
	s.Events[1].Published = false
	if got, _ := waiting(s, nil); waits(got) != "orchestrator publish ChargePayment" {
		t.Errorf("not published: %s", waits(got))
	}
}

// TestTheStyleOfAStory: as the order service has it; else as its events have it; else as of old.
func TestTheStyleOfAStory(t *testing.T) {
	t.Parallel()
	h := &history{}
	h.add(1, "OrderCreated", 0, 0).add("ce_sagastyle", "orchestrated")
	h.add(2, "ChargePayment", 10, 1).set("ce_source", "/eventshop/orchestrator")
	same(t, h.reported(t), "1 OrderCreated ← request", "2 ChargePayment ← 1 10ms")
	list, _, _ := tell(t.Context(), theOrder, h.records, plain)
	if service, ok := list[1].Command(); service != "payment" || !ok || list[1].Service != Orchestrator {
		t.Errorf("command to %s of %s", service, list[1].Service)
	}
	if _, ok := list[0].Command(); ok {
		t.Error("an event is a command")
	}
	for want, s := range map[string]Story{
		"orchestrated":  {Events: list},
		"choreographed": {Events: list[1:]}, // it has no header
		"as it says":    {Events: list, Order: &Order{Style: "as it says"}},
	} {
		if got := styleOf(s); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := styleOf(Story{}); got != "choreographed" {
		t.Errorf("of nothing: %s", got)
	}
}

// add adds a header.
func (r *record) add(name, value string) {
	r.headers = append(r.headers, event.Header{Key: name, Value: []byte(value)})
}

// TestSequence: lines of the log are beside the events that led to them; those of no event come after
// the command, or the event, of the line before. Snapshots and notifications are no messages.
func TestSequence(t *testing.T) {
	t.Parallel()
	s := orchestratedStory("PENDING", "OrderCreated OrderPlaced ChargePayment<1 PaymentCompleted<3 OrderSnapshot")
	s.Saga = &saga.Coordinated{Log: []saga.LogLine{
		{N: 1, Input: "OrderCreated", EventID: id(1), From: "NONE", To: "CHARGING", CommandID: id(3)},
		{N: 2, Input: "DuePassed", From: "CHARGING", To: "CHARGING"},
		{N: 3, Input: "Retry", From: "CHARGING", To: "CHARGING", CommandID: id(99)}, // expired
		{N: 4, Input: "PaymentCompleted", EventID: id(4), From: "CHARGING", To: "RESERVING"},
	}}
	var got []string
	for _, m := range s.Sequence(func(typ, style string) []string { return []string{"readers of " + style + " " + typ} }) {
		text := "-"
		if m.Event.N > 0 {
			text = fmt.Sprint(m.Event.Type, " ", m.To)
		}
		if m.Line != nil {
			text += fmt.Sprintf(" %d %s", m.Line.N, m.Line.Input)
		}
		got = append(got, text)
	}
	want := []string{
		"OrderCreated [readers of orchestrated OrderCreated] 1 OrderCreated",
		"ChargePayment [readers of orchestrated ChargePayment]", "- 2 DuePassed", "- 3 Retry", "PaymentCompleted [readers of orchestrated PaymentCompleted] 4 PaymentCompleted",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	definitions := []saga.Definition{{Version: 1, Steps: []string{"charge", "reserve", "schedule"}}, {Version: 2, Steps: []string{"charge", "other"}}}
	waits := []Wait{{Service: "payment", To: ToAnswer, Event: "OrderCreated"}}
	for name, c := range map[string]struct {
		s    Story
		want string
	}{
		"forward":       {Story{WaitsFor: waits, Saga: &saga.Coordinated{Definition: 1, Step: "charge"}}, "[reserve schedule]"},
		"its own steps": {Story{WaitsFor: waits, Saga: &saga.Coordinated{Definition: 2, Step: "charge"}}, "[other]"},
		"backward":      {Story{WaitsFor: waits, Saga: &saga.Coordinated{Step: "reserve", CompensationsDue: []string{"ReleaseInventory", "RefundPayment"}}}, "[RefundPayment CancelOrder]"},
		"no open step":  {Story{WaitsFor: waits, Saga: &saga.Coordinated{Definition: 1}}, "[]"},
		"choreographed": {Story{WaitsFor: []Wait{{Service: Carrier, To: ToDispatch, Event: "OrderConfirmed"}}}, "[order: OrderShipped carrier: ShipmentDelivered order: OrderDelivered]"},
		"going back":    {Story{WaitsFor: []Wait{{Service: "payment", To: ToAnswer, Event: "ShipmentFailed"}}}, "[]"},
		"ended":         {Story{Ended: true, WaitsFor: waits}, "[]"},
		"nothing known": {Story{}, "[]"},
	} {
		if got := fmt.Sprint(c.s.Next(definitions)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
