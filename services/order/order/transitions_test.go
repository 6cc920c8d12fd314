package order_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/services/order/order"
)

// history returns the shortest history that leads to a state.
func history(s order.State) []order.Event {
	begin := []order.Event{order.OrderCreated{OrderID: "o1"}, order.ItemAdded{SKU: "A", Quantity: 1, UnitPrice: 100}}
	confirmed := append(begin, order.OrderConfirmed{TrackingID: "T1"})
	shipped := append(confirmed, order.OrderShipped{TrackingID: "T1"})
	switch s {
	case order.Pending:
		return begin
	case order.Confirmed:
		return confirmed
	case order.Shipped:
		return shipped
	case order.Delivered:
		return append(shipped, order.OrderDelivered{})
	case order.Cancelling:
		return append(begin, order.OrderCancellationRequested{Actor: order.ByCustomer, Trigger: order.OnRequest})
	case order.Cancelled:
		return append(begin, order.OrderCancelled{Reason: order.ReasonPaymentFailed})
	case order.Draft:
		return []order.Event{order.DraftStarted{OrderID: "o1"}}
	case order.Discarded:
		return []order.Event{order.DraftStarted{OrderID: "o1"}, order.DraftDiscarded{Reason: order.ReasonAbandoned}}
	}
	return nil
}

// want is the table of Decide written a second time, cell by cell: action and effect. The lines are
// in the order of Inputs.
var want = map[order.State]string{
	order.None: `
		RequestCancellation          refuse
		PassDeadline                 refuse
		PaymentFailed                refuse
		PaymentRefunded              refuse
		PaymentVoided                refuse
		PaymentRefundFailed          refuse
		InventoryReservationFailed   refuse
		ShipmentScheduled            refuse
		ShipmentFailed               refuse
		ShipmentDispatched           refuse
		ShipmentDelivered            refuse
		ShipmentCancellationRejected refuse
		ConfirmOrder                 refuse
		CancelOrder                  refuse`,
	order.Draft: `
		RequestCancellation          refuse
		PassDeadline                 refuse
		PaymentFailed                refuse
		PaymentRefunded              refuse
		PaymentVoided                refuse
		PaymentRefundFailed          refuse
		InventoryReservationFailed   refuse
		ShipmentScheduled            refuse
		ShipmentFailed               refuse
		ShipmentDispatched           refuse
		ShipmentDelivered            refuse
		ShipmentCancellationRejected refuse
		ConfirmOrder                 refuse
		CancelOrder                  refuse`,
	order.Discarded: `
		RequestCancellation          refuse
		PassDeadline                 refuse
		PaymentFailed                refuse
		PaymentRefunded              refuse
		PaymentVoided                refuse
		PaymentRefundFailed          refuse
		InventoryReservationFailed   refuse
		ShipmentScheduled            refuse
		ShipmentFailed               refuse
		ShipmentDispatched           refuse
		ShipmentDelivered            refuse
		ShipmentCancellationRejected refuse
		ConfirmOrder                 refuse
		CancelOrder                  refuse`,
	order.Pending: `
		RequestCancellation          compensate begin cancellation
		PassDeadline                 compensate begin cancellation
		PaymentFailed                apply cancel
		PaymentRefunded              apply cancel
		PaymentVoided                apply cancel
		PaymentRefundFailed          apply raise attention
		InventoryReservationFailed   wait note failure
		ShipmentScheduled            apply confirm
		ShipmentFailed               wait note failure
		ShipmentDispatched           apply ship
		ShipmentDelivered            apply deliver
		ShipmentCancellationRejected refuse
		ConfirmOrder                 apply confirm
		CancelOrder                  apply cancel`,
	order.Confirmed: `
		RequestCancellation          compensate begin cancellation
		PassDeadline                 duplicate
		PaymentFailed                refuse raise attention
		PaymentRefunded              refuse raise attention
		PaymentVoided                refuse raise attention
		PaymentRefundFailed          refuse raise attention
		InventoryReservationFailed   refuse raise attention
		ShipmentScheduled            duplicate
		ShipmentFailed               refuse raise attention
		ShipmentDispatched           apply ship
		ShipmentDelivered            apply deliver
		ShipmentCancellationRejected refuse
		ConfirmOrder                 duplicate
		CancelOrder                  refuse raise attention`,
	order.Shipped: `
		RequestCancellation          refuse
		PassDeadline                 duplicate
		PaymentFailed                refuse raise attention
		PaymentRefunded              refuse raise attention
		PaymentVoided                refuse raise attention
		PaymentRefundFailed          refuse raise attention
		InventoryReservationFailed   refuse raise attention
		ShipmentScheduled            duplicate
		ShipmentFailed               refuse raise attention
		ShipmentDispatched           duplicate
		ShipmentDelivered            apply deliver
		ShipmentCancellationRejected apply reject cancellation
		ConfirmOrder                 duplicate
		CancelOrder                  refuse raise attention`,
	order.Delivered: `
		RequestCancellation          refuse
		PassDeadline                 duplicate
		PaymentFailed                refuse raise attention
		PaymentRefunded              refuse raise attention
		PaymentVoided                refuse raise attention
		PaymentRefundFailed          refuse raise attention
		InventoryReservationFailed   refuse raise attention
		ShipmentScheduled            duplicate
		ShipmentFailed               refuse raise attention
		ShipmentDispatched           duplicate
		ShipmentDelivered            duplicate
		ShipmentCancellationRejected apply reject cancellation
		ConfirmOrder                 duplicate
		CancelOrder                  refuse raise attention`,
	order.Cancelling: `
		RequestCancellation          duplicate
		PassDeadline                 duplicate
		PaymentFailed                apply cancel
		PaymentRefunded              apply cancel
		PaymentVoided                apply cancel
		PaymentRefundFailed          apply raise attention
		InventoryReservationFailed   wait note failure
		ShipmentScheduled            wait
		ShipmentFailed               wait note failure
		ShipmentDispatched           apply ship
		ShipmentDelivered            apply deliver
		ShipmentCancellationRejected apply reject cancellation
		ConfirmOrder                 refuse
		CancelOrder                  apply cancel`,
	order.Cancelled: `
		RequestCancellation          duplicate
		PassDeadline                 duplicate
		PaymentFailed                duplicate
		PaymentRefunded              duplicate
		PaymentVoided                duplicate
		PaymentRefundFailed          duplicate
		InventoryReservationFailed   duplicate
		ShipmentScheduled            refuse
		ShipmentFailed               duplicate
		ShipmentDispatched           refuse raise attention
		ShipmentDelivered            refuse raise attention
		ShipmentCancellationRejected refuse
		ConfirmOrder                 refuse
		CancelOrder                  duplicate`,
}

func TestDecideAnswersEveryPair(t *testing.T) {
	pairs := 0
	for _, s := range order.States() {
		lines := strings.Split(strings.TrimSpace(want[s]), "\n")
		if len(lines) != len(order.Inputs()) {
			t.Fatalf("%q has %d lines for %d inputs", s, len(lines), len(order.Inputs()))
		}
		for i, in := range order.Inputs() {
			words := strings.Fields(lines[i])
			if words[0] != string(in) {
				t.Fatalf("line %d of %q is about %s, not %s", i+1, s, words[0], in)
			}
			cell := order.Decision{Action: order.Action(words[1]), Effect: order.Effect(strings.Join(words[2:], " "))}
			if diff := cmp.Diff(cell, order.Decide(s, in)); diff != "" {
				t.Errorf("Decide(%q, %s) (-want +got):\n%s", s, in, diff)
			}
			pairs++
		}
	}
	if pairs != 9*14 {
		t.Fatalf("%d pairs were compared", pairs)
	}
}

// TestEveryPair compares the decisions of an order in each state: one row per input and one column
// per state. Each cell is the action and the domain events.
func TestEveryPair(t *testing.T) {
	const (
		refuse  = "refuse"
		dup     = "duplicate"
		alarm   = "refuse OrderNeedsAttention"
		request = "compensate OrderCancellationRequested"
		cancel  = "apply OrderCancelled"
		note    = "wait OrderFulfilmentFailed"
		ship    = "apply OrderShipped"
	)
	type row map[order.State]string
	want := map[order.Input]row{
		order.RequestCancellation: {
			order.None: refuse, order.Pending: request, order.Confirmed: request, order.Shipped: refuse,
			order.Delivered: refuse, order.Cancelling: dup, order.Cancelled: dup},
		order.PassDeadline: {
			order.None: refuse, order.Pending: request, order.Confirmed: dup, order.Shipped: dup,
			order.Delivered: dup, order.Cancelling: dup, order.Cancelled: dup},
		order.PaymentFailed: {
			order.None: refuse, order.Pending: cancel, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: cancel, order.Cancelled: dup},
		order.PaymentRefunded: {
			order.None: refuse, order.Pending: cancel, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: cancel, order.Cancelled: dup},
		order.PaymentVoided: {
			order.None: refuse, order.Pending: cancel, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: cancel, order.Cancelled: dup},
		order.PaymentRefundFailed: {
			order.None: refuse, order.Pending: "apply OrderNeedsAttention", order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: "apply OrderNeedsAttention", order.Cancelled: dup},
		order.InventoryReservationFailed: {
			order.None: refuse, order.Pending: note, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: note, order.Cancelled: dup},
		order.ShipmentFailed: {
			order.None: refuse, order.Pending: note, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: note, order.Cancelled: dup},
		order.ShipmentScheduled: {
			order.None: refuse, order.Pending: "apply OrderConfirmed", order.Confirmed: dup, order.Shipped: dup,
			order.Delivered: dup, order.Cancelling: "wait", order.Cancelled: refuse},
		order.ShipmentDispatched: {
			order.None: refuse, order.Pending: "apply OrderConfirmed OrderShipped", order.Confirmed: ship, order.Shipped: dup,
			order.Delivered: dup, order.Cancelling: ship, order.Cancelled: alarm},
		order.ShipmentDelivered: {
			order.None: refuse, order.Pending: "apply OrderConfirmed OrderShipped OrderDelivered",
			order.Confirmed: "apply OrderShipped OrderDelivered", order.Shipped: "apply OrderDelivered",
			order.Delivered: dup, order.Cancelling: "apply OrderShipped OrderDelivered", order.Cancelled: alarm},
		order.ShipmentCancellationRejected: {
			order.None: refuse, order.Pending: refuse, order.Confirmed: refuse, order.Shipped: refuse,
			order.Delivered: refuse, order.Cancelling: "apply OrderCancellationRejected", order.Cancelled: refuse},
		order.ConfirmOrder: {
			order.None: refuse, order.Pending: "apply OrderConfirmed", order.Confirmed: dup, order.Shipped: dup,
			order.Delivered: dup, order.Cancelling: refuse, order.Cancelled: refuse},
		order.CancelOrder: {
			order.None: refuse, order.Pending: cancel, order.Confirmed: alarm, order.Shipped: alarm,
			order.Delivered: alarm, order.Cancelling: cancel, order.Cancelled: dup},
	}
	for _, k := range order.Inputs() {
		for _, s := range order.States() {
			t.Run(fmt.Sprintf("%s/%s", s, k), func(t *testing.T) {
				cell, ok := want[k][s]
				if s == order.Draft || s == order.Discarded {
					cell, ok = refuse, true // whatever the input
				}
				if !ok {
					t.Fatal("no expectation: the table is not total")
				}
				got := order.Order{}.Fold(history(s)...).Decide(order.Message{Input: k, Reason: "r", TrackingID: "T1"})
				if described := describe(got); described != cell {
					t.Errorf("got %q, want %q", described, cell)
				}
			})
		}
	}
}

func describe(d order.Decision) string {
	s := string(d.Action)
	for _, e := range d.Emit {
		s += " " + e.Name()
	}
	return s
}

// TestRepetition: an input that was applied and is repeated records nothing.
func TestRepetition(t *testing.T) {
	for _, s := range order.States() {
		for _, k := range order.Inputs() {
			before := order.Order{}.Fold(history(s)...)
			in := order.Message{Input: k, Reason: "r", TrackingID: "T1"}
			once := before.Decide(in)
			after := before.Fold(once.Emit...)
			if again := after.Decide(in); len(again.Emit) > 0 {
				t.Errorf("%s + %s twice: the second time emits %s", s, k, describe(again))
			}
		}
	}
}

// TestWhatWasKnown covers the cells that depend on more than the state.
func TestWhatWasKnown(t *testing.T) {
	tests := map[string]struct {
		given []order.Event
		when  order.Message
		then  order.Decision
	}{
		"rejection after the dispatch it is about": {
			given: append(history(order.Cancelling), order.OrderShipped{TrackingID: "T1"}),
			when:  order.Message{Input: order.ShipmentCancellationRejected, Reason: "dispatched"},
			then:  order.Decision{Action: order.Apply, Effect: order.RejectCancellation, Emit: []order.Event{order.OrderCancellationRejected{Reason: "dispatched"}}},
		},
		"rejection twice": {
			given: append(history(order.Cancelling), order.OrderCancellationRejected{Reason: "dispatched"}),
			when:  order.Message{Input: order.ShipmentCancellationRejected, Reason: "dispatched"},
			then:  order.Decision{Action: order.Duplicate},
		},
		"customer asks again after a rejection": {
			given: append(history(order.Cancelling), order.OrderCancellationRejected{Reason: "dispatched"}),
			when:  order.Message{Input: order.RequestCancellation},
			then:  order.Decision{Action: order.Duplicate},
		},
		"refund after the failure was noted: the failure is the reason": {
			given: append(history(order.Pending), order.OrderFulfilmentFailed{Reason: order.ReasonOutOfStock, Detail: "A: 2 wanted, 1 there"}),
			when:  order.Message{Input: order.PaymentRefunded, Reason: "out_of_stock"},
			then: order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{
				order.OrderCancelled{Reason: order.ReasonOutOfStock, Detail: "A: 2 wanted, 1 there"}}},
		},
		"refund before the failure arrived: the refund has the reason": {
			given: history(order.Pending),
			when:  order.Message{Input: order.PaymentRefunded, Reason: "out_of_stock"},
			then:  order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{order.OrderCancelled{Reason: order.ReasonOutOfStock}}},
		},
		"refund for a reason of the participant's own": {
			given: history(order.Pending),
			when:  order.Message{Input: order.PaymentRefunded, Reason: "operator"},
			then:  order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{order.OrderCancelled{Reason: order.ReasonMoneyReturned, Detail: "operator"}}},
		},
		"void after the customer asked: the customer is the reason": {
			given: append(history(order.Pending), order.OrderCancellationRequested{Actor: order.ByCustomer, Trigger: order.OnRequest, Detail: "changed my mind"}),
			when:  order.Message{Input: order.PaymentVoided, Reason: "customer"},
			then: order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{
				order.OrderCancelled{Reason: order.ReasonCustomer, Detail: "changed my mind"}}},
		},
		"declined": {
			given: history(order.Pending),
			when:  order.Message{Input: order.PaymentFailed, Reason: "insufficient_funds", Detail: "try another card"},
			then: order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{
				order.OrderCancelled{Reason: order.ReasonPaymentFailed, Detail: "insufficient_funds: try another card"}}},
		},
		"declined while being cancelled: the request is the reason": {
			given: history(order.Cancelling),
			when:  order.Message{Input: order.PaymentFailed, Reason: "insufficient_funds"},
			then:  order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{order.OrderCancelled{Reason: order.ReasonCustomer}}},
		},
		"second alarm": {
			given: append(history(order.Cancelled), order.OrderNeedsAttention{Reason: "ShipmentDispatched"}),
			when:  order.Message{Input: order.ShipmentDelivered},
			then:  order.Decision{Action: order.Duplicate},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := order.Order{}.Fold(tt.given...).Decide(tt.when)
			if diff := cmp.Diff(tt.then, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRefundMendsAttention: a refund that succeeds in the end clears the attention that the failed
// one raised.
func TestRefundMendsAttention(t *testing.T) {
	o := order.Order{}.Fold(history(order.Cancelling)...)
	o = o.Fold(o.Decide(order.Message{Input: order.PaymentRefundFailed, Reason: "gateway down"}).Emit...)
	if o.State != order.Cancelling || o.Attention == nil {
		t.Fatalf("after the failed refund: %s, attention %v", o.State, o.Attention)
	}
	o = o.Fold(o.Decide(order.Message{Input: order.PaymentRefunded, Reason: "customer"}).Emit...)
	if o.State != order.Cancelled || o.Attention != nil {
		t.Fatalf("after the refund: %s, attention %v", o.State, o.Attention)
	}
}
