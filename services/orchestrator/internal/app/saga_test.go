package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

const (
	toCharging   = "OrderCreated"
	toReserving  = toCharging + " PaymentCompleted"
	toScheduling = toReserving + " InventoryReserved"
	toConfirming = toScheduling + " ShipmentScheduled"
	toConfirmed  = toConfirming + " OrderConfirmed"
	toShipped    = toConfirmed + " ShipmentDispatched"

	forward = "ChargePayment ReserveInventory ScheduleShipment ConfirmOrder"
)

// The same of definition 2, which reserves first.
const (
	reserving2  = "OrderCreated"
	charging2   = reserving2 + " InventoryReserved"
	scheduling2 = charging2 + " PaymentCompleted"
	confirming2 = scheduling2 + " ShipmentScheduled"
	confirmed2  = confirming2 + " OrderConfirmed"
	shipped2    = confirmed2 + " ShipmentDispatched"
)

// forwards has the events of a saga without any trouble, by definition.
var forwards = []string{toShipped + " ShipmentDelivered", shipped2 + " ShipmentDelivered"}

// inputsOf splits a list of inputs. An answer is written as "ChargePayment:unchanged".
func inputsOf(list string) []orchestrator.Input {
	var out []orchestrator.Input
	for in := range strings.FieldsSeq(list) {
		out = append(out, orchestrator.Input(strings.ReplaceAll(in, ":", ": ")))
	}
	return out
}

// TestCommandsCarryTheOrder: the forward path, with every field of every command, and the columns that
// consumers and operators rely on.
func TestCommandsCarryTheOrder(t *testing.T) {
	f := newFixture(t)
	id := newOrder()
	inputs := inputsOf(toShipped + " ShipmentDelivered")
	var causes []string
	for _, in := range inputs {
		d := usual(id, in)
		causes = append(causes, d.cause.CausationID)
		f.must(f.react(d))
	}
	want := []event.Event{
		&events.ChargePayment{OrderID: id, CustomerID: "cust-7", Amount: 14996, Currency: "GBP", OccurredAt: start},
		&events.ReserveInventory{OrderID: id, Items: []events.ItemToReserve{{SKU: "GADGET-05", Quantity: 1}, {SKU: "WIDGET-01", Quantity: 5}}, OccurredAt: start},
		&events.ScheduleShipment{
			OrderID: id, CustomerID: "cust-7",
			Address: events.DeliveryAddress{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
			Items:   []events.ParcelItem{{SKU: "WIDGET-01", Quantity: 2}, {SKU: "GADGET-05", Quantity: 1}, {SKU: "WIDGET-01", Quantity: 3}}, OccurredAt: start,
		},
		&events.ConfirmOrder{OrderID: id, TrackingID: "TR-1", OccurredAt: start},
	}
	var got []event.Event
	traces := map[string]bool{}
	for i, c := range f.commands(id) {
		got = append(got, c.event)
		traces[c.envelope["trace"]] = true
		service := strings.Fields("payment inventory shipping order")[i]
		about := map[string]string{
			"topic": service + ".commands", "type": "Saga", "cause": causes[i], "correlation": "correlation-" + id, "style": "orchestrated", "trace": c.envelope["trace"],
		}
		if diff := cmp.Diff(about, c.envelope); diff != "" || c.version != int64(i+1) || c.id.Version() != 7 {
			t.Errorf("%s, version %d, id %s (-want +got):\n%s", c.event.EventType(), c.version, c.id, diff)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	row, log := f.saga(id)
	if row.State != "DELIVERED" || row.Version != 4 || row.Definition != 1 || row.Attention != "" || row.DueAt != nil || row.Step != "" || len(log) != len(inputs) {
		t.Errorf("saga %+v with %d lines", row, len(log))
	}
	for i, line := range log {
		if line.EventID != causes[i] || line.Input != string(inputs[i]) {
			t.Errorf("line %d: %+v", i+1, line)
		}
	}
}

// TestEveryRoad: what each failure, each cancellation and each late answer leads to.
func TestEveryRoad(t *testing.T) {
	f := newFixture(t)
	const (
		undoAll   = " CancelShipment ReleaseInventory RefundPayment CancelOrder"
		customer  = "customer: changed my mind"
		stopped   = " ShipmentCancelled InventoryReleased PaymentRefunded OrderCancelled"
		requested = " OrderCancellationRequested"
	)
	for name, tt := range map[string]struct {
		inputs, commands string
		end              orchestrator.State
		why              string // reason and detail of CancelOrder
	}{
		"the card is declined":       {toCharging + " PaymentFailed OrderCancelled", "ChargePayment CancelOrder", orchestrator.Cancelled, "payment_failed: insufficient_funds: not enough money"},
		"the charge is refused":      {toCharging + " ChargePayment:refused RefundPayment:unchanged OrderCancelled", "ChargePayment RefundPayment CancelOrder", orchestrator.Cancelled, "payment_failed: ChargePayment was refused in the state SOME"},
		"too little stock":           {toReserving + " InventoryReservationFailed PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory RefundPayment CancelOrder", orchestrator.Cancelled, "out_of_stock: out_of_stock: WIDGET-01: 5 wanted, 2 there"},
		"the reservation is refused": {toReserving + " ReserveInventory:refused ReleaseInventory:unchanged PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, "out_of_stock: ReserveInventory was refused in the state SOME"},
		"the carrier refuses":        {toScheduling + " ShipmentFailed InventoryReleased PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ScheduleShipment ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, "shipment_failed: address_not_served: no route"},
		"cancelled at the carrier":   {toScheduling + " ShipmentCancelled InventoryReleased PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ScheduleShipment ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, "shipment_failed: cancelled at the carrier"},
		"the booking is refused":     {toScheduling + " ScheduleShipment:refused CancelShipment:unchanged InventoryReleased PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ScheduleShipment" + undoAll, orchestrator.Cancelled, "shipment_failed: ScheduleShipment was refused in the state SOME"},
		"the order cannot confirm":   {toConfirming + " ConfirmOrder:refused" + stopped, forward + undoAll, orchestrator.Cancelled, "shipment_failed: ConfirmOrder was refused in the state SOME"},

		"cancelled while CHARGING":               {toCharging + requested + " PaymentVoided OrderCancelled", "ChargePayment RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while CHARGING, then charged": {toCharging + requested + " PaymentCompleted PaymentRefunded OrderCancelled", "ChargePayment RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while CHARGING, declined":     {toCharging + requested + " PaymentFailed OrderCancelled", "ChargePayment RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while RESERVING":              {toReserving + requested + " ReleaseInventory:unchanged PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while RESERVING, reserved":    {toReserving + requested + " InventoryReserved InventoryReleased PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while RESERVING, too few":     {toReserving + requested + " InventoryReservationFailed PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory ReleaseInventory RefundPayment CancelOrder", orchestrator.Cancelled, customer},
		"cancelled while SCHEDULING":             {toScheduling + requested + stopped, "ChargePayment ReserveInventory ScheduleShipment" + undoAll, orchestrator.Cancelled, customer},
		"cancelled while SCHEDULING, scheduled":  {toScheduling + requested + " ShipmentScheduled" + stopped, "ChargePayment ReserveInventory ScheduleShipment" + undoAll, orchestrator.Cancelled, customer},
		"cancelled while CONFIRMING":             {toConfirming + requested + stopped, forward + undoAll, orchestrator.Cancelled, customer},
		"cancelled while CONFIRMED":              {toConfirmed + requested + stopped, forward + undoAll, orchestrator.Cancelled, customer},
		"cancelled too late":                     {toConfirmed + requested + " ShipmentDispatched ShipmentCancellationRejected ShipmentDelivered", forward + " CancelShipment", orchestrator.Delivered, ""},
		"cancelled after the dispatch":           {toShipped + requested + " ShipmentCancellationRejected ShipmentDelivered", forward + " CancelShipment", orchestrator.Delivered, ""},
		"cancelled while REFUNDING":              {toReserving + " InventoryReservationFailed" + requested + " PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory RefundPayment CancelOrder", orchestrator.Cancelled, "out_of_stock: out_of_stock: WIDGET-01: 5 wanted, 2 there"},
		"cancelled while CLOSING":                {toCharging + " PaymentFailed" + requested + " OrderCancelled", "ChargePayment CancelOrder", orchestrator.Cancelled, "payment_failed: insufficient_funds: not enough money"},

		"gone before the answer":       {toScheduling + " ShipmentDispatched ShipmentScheduled OrderConfirmed ShipmentDelivered", "ChargePayment ReserveInventory ScheduleShipment", orchestrator.Delivered, ""},
		"confirmed before the answer":  {toScheduling + " OrderConfirmed ShipmentScheduled ConfirmOrder:unchanged ShipmentDispatched ShipmentDelivered", forward, orchestrator.Delivered, ""},
		"the refund fails at first":    {toReserving + " InventoryReservationFailed PaymentRefundFailed PaymentRefunded OrderCancelled", "ChargePayment ReserveInventory RefundPayment CancelOrder", orchestrator.Cancelled, "out_of_stock: out_of_stock: WIDGET-01: 5 wanted, 2 there"},
		"all is unchanged":             {toCharging + " ChargePayment:unchanged ReserveInventory:unchanged ScheduleShipment:unchanged ConfirmOrder:unchanged ShipmentDispatched ShipmentDelivered", forward, orchestrator.Delivered, ""},
		"late, and sent again":         {toCharging + " DuePassed Retry PaymentCompleted InventoryReserved ShipmentScheduled OrderConfirmed ShipmentDispatched ShipmentDelivered", "ChargePayment ChargePayment ReserveInventory ScheduleShipment ConfirmOrder", orchestrator.Delivered, ""},
		"the order is cancelled first": {toCharging + " PaymentFailed CancelOrder:unchanged", "ChargePayment CancelOrder", orchestrator.Cancelled, "payment_failed: insufficient_funds: not enough money"},
	} {
		id := newOrder()
		f.play(id, inputsOf(tt.inputs)...)
		row, log := f.saga(id)
		if got := f.sent(id); got != tt.commands || row.State != string(tt.end) || row.Attention != "" {
			t.Errorf("%s: %s, attention %q, after the commands\n%s, want\n%s", name, row.State, row.Attention, got, tt.commands)
		}
		why := ""
		for _, c := range f.commands(id) {
			switch e := c.event.(type) {
			case *events.CancelOrder:
				why = e.Reason + ": " + e.Detail
			case *events.RefundPayment:
				reasonIs(t, name, e.Reason, row.Reason)
			case *events.ReleaseInventory:
				reasonIs(t, name, e.Reason, row.Reason)
			case *events.CancelShipment:
				if row.Reason != "" {
					reasonIs(t, name, e.Reason, row.Reason)
				} else {
					reasonIs(t, name, e.Reason, "customer") // the request's own: the saga did not turn back
				}
			}
		}
		if why != tt.why {
			t.Errorf("%s: cancelled for %q, want %q", name, why, tt.why)
		}
		f.check(id, log)
	}
}

func reasonIs(t *testing.T, name, got, want string) {
	t.Helper()
	if got != want || got == "" {
		t.Errorf("%s: a compensation for the reason %q, want %q", name, got, want)
	}
}

// TestUnknownSKU: the reason is that of the choreographed style, and the detail says what is unknown.
func TestUnknownSKU(t *testing.T) {
	f := newFixture(t)
	for want, short := range map[string][]events.Shortage{
		"unknown_sku: A: 1 wanted, the SKU is unknown; B: 2 wanted, 1 there":                                    {{SKU: "A", Requested: 1}, {SKU: "B", Requested: 2, Available: 1}},
		"unknown_sku: A: 1 wanted, the SKU is unknown or sold out; B: 2 wanted, the SKU is unknown or sold out": {{SKU: "A", Requested: 1}, {SKU: "B", Requested: 2}},
	} {
		id := newOrder()
		f.play(id, inputsOf(toReserving)...)
		f.must(f.react(deliveryOf(onReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku", Shortages: short})))
		if row, _ := f.saga(id); row.Reason != "out_of_stock" || row.Detail != want {
			t.Errorf("%q, want %q", fmt.Sprint(row.Reason, ": ", row.Detail), want)
		}
	}
}
