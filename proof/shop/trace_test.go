package shop

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
)

// wander makes a random run of one order until nothing can go on, and returns what it leaves behind.
func wander(m *Model, how Coordination, bounds Bounds, seed uint64) History {
	random := rand.New(rand.NewPCG(seed, 0))
	sys := m.System([]Coordination{how}, bounds, 1, 0)
	w := sys.Starts[random.IntN(len(sys.Starts))]
	h := History{Style: how.Style, Topic: map[string][]string{}}
	note := func(before, after *saga) {
		for f := range m.facts {
			for n := before.emitted[f]; n < after.emitted[f]; n++ {
				topic := topicName(int(m.topic[f]))
				h.Topic[topic] = append(h.Topic[topic], m.facts[f])
			}
		}
	}
	note(&saga{}, &w.sagas[0])
	for range 400 {
		steps := sys.Steps(w, nil)
		if !slices.ContainsFunc(steps, func(s step) bool { return s.Progress }) {
			break
		}
		next := steps[random.IntN(len(steps))].To
		note(&w.sagas[0], &next.sagas[0])
		w = next
	}
	return h
}

// TestTracesOfTheModelAreExplained: what the model does, with faults, is a path of the model. With a
// record less on a topic that others follow from, it is not.
func TestTracesOfTheModelAreExplained(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	bounds := Bounds{Crashes: 1, Duplicates: 1, Lost: 1, Spent: 1, Late: 1, Retries: 1}
	lacking := 0
	for _, how := range []Coordination{{}, {Orchestrated, 1}, {Orchestrated, 2}} {
		for seed := range uint64(60) {
			h := wander(m, how, bounds, seed)
			if unexplained, err := m.Trace(h); err != nil || unexplained != "" {
				t.Fatalf("%s, seed %d, %v: %s, %v", how, seed, h.Topic, unexplained, err)
			}
			paid := h.Topic["payment.events"]
			if !slices.Contains(paid, "PaymentCompleted") || len(h.Topic["inventory.events"]) == 0 {
				continue
			}
			lacking++
			less := History{Style: how.Style, Topic: maps.Clone(h.Topic)}
			less.Topic["payment.events"] = slices.DeleteFunc(slices.Clone(paid), func(f string) bool { return f == "PaymentCompleted" })
			if unexplained, err := m.Trace(less); err != nil || unexplained == "" && !compensated(h) {
				t.Errorf("%s, seed %d: %v without the payment is explained, %v", how, seed, less.Topic, err)
			}
		}
	}
	if lacking < 20 {
		t.Errorf("only %d histories lacked something", lacking)
	}
}

// compensated reports whether a history is one of an order that was undone, which needs no payment for
// the tombstones that it leaves.
func compensated(h History) bool {
	return slices.Contains(h.Topic["order.events"], "OrderCancellationRequested")
}

// delivered is the history of a choreographed order without any trouble.
func deliveredHistory() History {
	return History{Topic: map[string][]string{
		"order.events":     {"OrderCreated", "OrderConfirmed", "OrderShipped", "OrderDelivered"},
		"payment.events":   {"PaymentCompleted"},
		"inventory.events": {"InventoryReserved"},
		"shipping.events":  {"ShipmentScheduled", "ShipmentDispatched", "ShipmentDelivered"},
	}}
}

func TestTraceFindsWhatNoRunExplains(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	commanded := deliveredHistory()
	commanded.Style = Orchestrated
	maps.Copy(commanded.Topic, map[string][]string{
		"payment.commands": {"ChargePayment"}, "inventory.commands": {"ReserveInventory"},
		"shipping.commands": {"ScheduleShipment"}, "order.commands": {"ConfirmOrder"},
	})
	for _, h := range []History{deliveredHistory(), commanded} {
		if unexplained, err := m.Trace(h); err != nil || unexplained != "" {
			t.Fatalf("%s: %s, %v", h.Style, unexplained, err)
		}
	}
	outOfStock := History{Style: Orchestrated, Topic: map[string][]string{
		"order.events": {"OrderCreated", "OrderCancelled"}, "inventory.events": {"InventoryReservationFailed"},
		"inventory.commands": {"ReserveInventory"}, "order.compensations": {"CancelOrder"},
	}}
	for definition, explained := range []bool{true, false, true} { // 0: every one is tried
		outOfStock.Definition = definition
		unexplained, err := m.Trace(outOfStock)
		if err != nil || (unexplained == "") != explained {
			t.Errorf("out of stock and not charged, definition %d: %q, %v", definition, unexplained, err)
		}
	}
	voided := History{Style: Orchestrated, Topic: map[string][]string{
		"order.events": {"OrderCreated", "OrderCancellationRequested", "OrderCancelled"}, "payment.commands": {"ChargePayment"},
		"payment.compensations": {"RefundPayment"}, "payment.events": {"PaymentVoided", "ChargePayment: refused"},
		"order.compensations": {"CancelOrder"},
	}}
	if unexplained, err := m.Trace(voided); err != nil || unexplained != "" {
		t.Errorf("the refund overtakes the charge: %q, %v", unexplained, err)
	}
	for name, c := range map[string]struct {
		history History
		topic   string
		records []string
		says    string
	}{
		"the money is returned and the parcel arrives": {deliveredHistory(), "payment.events", []string{"PaymentCompleted", "PaymentRefunded"}, "PaymentRefunded"},
		"pieces that are shipped are released":         {deliveredHistory(), "inventory.events", []string{"InventoryReserved", "InventoryReleased"}, "InventoryReleased"},
		"a cancelled parcel leaves":                    {deliveredHistory(), "shipping.events", []string{"ShipmentScheduled", "ShipmentCancelled", "ShipmentDispatched", "ShipmentDelivered"}, "ShipmentCancelled"},
		"two payments":                                 {deliveredHistory(), "payment.events", []string{"PaymentCompleted", "PaymentCompleted"}, "PaymentCompleted"},
		"an event is missing":                          {deliveredHistory(), "shipping.events", []string{"ShipmentScheduled", "ShipmentDelivered"}, "ShipmentDelivered"},
		"an order without its start":                   {deliveredHistory(), "order.events", []string{"OrderConfirmed"}, "not even"},
		"a command in the choreography":                {deliveredHistory(), "payment.commands", []string{"ChargePayment"}, "ChargePayment"},
		"orchestration without a command":              {commanded, "inventory.commands", nil, "InventoryReserved"},
		"a compensation without a cause":               {commanded, "payment.compensations", []string{"RefundPayment"}, "RefundPayment"},
		"a charge after its void":                      {voided, "payment.events", []string{"PaymentVoided", "PaymentCompleted"}, "PaymentCompleted"},
		"a release without a cause":                    {commanded, "inventory.compensations", []string{"ReleaseInventory"}, "ReleaseInventory"},
		"an answer to no command":                      {commanded, "payment.events", []string{"PaymentCompleted", "RefundPayment: unchanged"}, "RefundPayment: unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := History{Style: c.history.Style, Topic: maps.Clone(c.history.Topic)}
			h.Topic[c.topic] = c.records
			if unexplained, err := m.Trace(h); err != nil || !strings.Contains(unexplained, c.says) {
				t.Errorf("%q, %v; want it to say %q", unexplained, err, c.says)
			}
		})
	}
}

func TestTraceRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	unknown := deliveredHistory()
	unknown.Style, unknown.Definition = Orchestrated, 3
	if _, err := m.Trace(unknown); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an unknown definition: %v", err)
	}
	for name, records := range map[string][]string{
		"an unknown event":        {"OrderForgotten"},
		"an event of other topic": {"PaymentCompleted"},
		"too many of one kind":    {"OrderCreated", "OrderCreated", "OrderCreated", "OrderCreated"},
	} {
		h := deliveredHistory()
		h.Topic["order.events"] = records
		if _, err := m.Trace(h); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
