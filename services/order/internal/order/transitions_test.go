package order_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/services/order/internal/order"
)

var (
	statuses = []order.Status{order.None, order.Pending, order.Confirmed, order.Shipped,
		order.Delivered, order.Cancelling, order.Cancelled}
	kinds = []order.Kind{order.RequestCancellation, order.PassDeadline,
		order.PaymentFailed, order.PaymentRefunded, order.PaymentVoided, order.PaymentRefundFailed,
		order.InventoryReservationFailed, order.ShipmentScheduled, order.ShipmentFailed,
		order.ShipmentDispatched, order.ShipmentDelivered, order.ShipmentCancellationRejected}
)

// histories leads to each status by the shortest way.
func history(s order.Status) []order.Event {
	begin := []order.Event{order.Created{OrderID: "o1"}, order.ItemAdded{SKU: "A", Quantity: 1, UnitPrice: 100}}
	confirmed := append(begin, order.WasConfirmed{TrackingID: "T1"})
	shipped := append(confirmed, order.WasShipped{TrackingID: "T1"})
	switch s {
	case order.Pending:
		return begin
	case order.Confirmed:
		return confirmed
	case order.Shipped:
		return shipped
	case order.Delivered:
		return append(shipped, order.WasDelivered{})
	case order.Cancelling:
		return append(begin, order.CancellationRequested{Reason: order.ReasonCustomer})
	case order.Cancelled:
		return append(begin, order.WasCancelled{Reason: order.ReasonPaymentFailed})
	}
	return nil
}

// TestEveryPair is the transition table a second time, as one reads it: a column
// per status, a row per input; each cell is the outcome and the domain events.
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
	type row map[order.Status]string
	want := map[order.Kind]row{
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
	}
	for _, k := range kinds {
		for _, s := range statuses {
			t.Run(fmt.Sprintf("%s/%s", s, k), func(t *testing.T) {
				cell, ok := want[k][s]
				if !ok {
					t.Fatal("no expectation: the table is not total")
				}
				got := order.Order{}.Fold(history(s)...).Decide(order.Input{Kind: k, Reason: "r", TrackingID: "T1"})
				if described := describe(got); described != cell {
					t.Errorf("got %q, want %q", described, cell)
				}
			})
		}
	}
}

func describe(d order.Decision) string {
	s := string(d.Outcome)
	for _, e := range d.Events {
		s += " " + e.Name()
	}
	return s
}

// TestRepetition: whatever an order has taken in, taking it in again records
// nothing.
func TestRepetition(t *testing.T) {
	for _, s := range statuses {
		for _, k := range kinds {
			before := order.Order{}.Fold(history(s)...)
			in := order.Input{Kind: k, Reason: "r", TrackingID: "T1"}
			once := before.Decide(in)
			after := before.Fold(once.Events...)
			if again := after.Decide(in); len(again.Events) > 0 {
				t.Errorf("%s + %s twice: the second time gives %s", s, k, describe(again))
			}
		}
	}
}

// TestWhatWasKnown covers the cells that depend on more than the status.
func TestWhatWasKnown(t *testing.T) {
	tests := map[string]struct {
		given []order.Event
		when  order.Input
		then  order.Decision
	}{
		"rejection after the dispatch it is about": {
			given: append(history(order.Cancelling), order.WasShipped{TrackingID: "T1"}),
			when:  order.Input{Kind: order.ShipmentCancellationRejected, Reason: "dispatched"},
			then:  order.Decision{Outcome: order.Apply, Events: []order.Event{order.CancellationRejected{Reason: "dispatched"}}},
		},
		"rejection twice": {
			given: append(history(order.Cancelling), order.CancellationRejected{Reason: "dispatched"}),
			when:  order.Input{Kind: order.ShipmentCancellationRejected, Reason: "dispatched"},
			then:  order.Decision{Outcome: order.Duplicate},
		},
		"customer asks again after a rejection": {
			given: append(history(order.Cancelling), order.CancellationRejected{Reason: "dispatched"}),
			when:  order.Input{Kind: order.RequestCancellation},
			then:  order.Decision{Outcome: order.Duplicate},
		},
		"refund after the failure was noted: the failure is the reason": {
			given: append(history(order.Pending), order.FulfilmentFailed{Reason: order.ReasonOutOfStock, Detail: "A: 2 wanted, 1 there"}),
			when:  order.Input{Kind: order.PaymentRefunded, Reason: "out_of_stock"},
			then: order.Decision{Outcome: order.Apply, Events: []order.Event{
				order.WasCancelled{Reason: order.ReasonOutOfStock, Detail: "A: 2 wanted, 1 there"}}},
		},
		"refund before the failure was heard of: the refund says why": {
			given: history(order.Pending),
			when:  order.Input{Kind: order.PaymentRefunded, Reason: "out_of_stock"},
			then:  order.Decision{Outcome: order.Apply, Events: []order.Event{order.WasCancelled{Reason: order.ReasonOutOfStock}}},
		},
		"refund for a reason of the participant's own": {
			given: history(order.Pending),
			when:  order.Input{Kind: order.PaymentRefunded, Reason: "operator"},
			then:  order.Decision{Outcome: order.Apply, Events: []order.Event{order.WasCancelled{Reason: order.ReasonMoneyReturned, Detail: "operator"}}},
		},
		"void after the customer asked: the customer is the reason": {
			given: append(history(order.Pending), order.CancellationRequested{Reason: order.ReasonCustomer, Detail: "changed my mind"}),
			when:  order.Input{Kind: order.PaymentVoided, Reason: "customer"},
			then: order.Decision{Outcome: order.Apply, Events: []order.Event{
				order.WasCancelled{Reason: order.ReasonCustomer, Detail: "changed my mind"}}},
		},
		"declined": {
			given: history(order.Pending),
			when:  order.Input{Kind: order.PaymentFailed, Reason: "insufficient_funds", Detail: "try another card"},
			then: order.Decision{Outcome: order.Apply, Events: []order.Event{
				order.WasCancelled{Reason: order.ReasonPaymentFailed, Detail: "insufficient_funds: try another card"}}},
		},
		"declined while being cancelled: the request is the reason": {
			given: history(order.Cancelling),
			when:  order.Input{Kind: order.PaymentFailed, Reason: "insufficient_funds"},
			then:  order.Decision{Outcome: order.Apply, Events: []order.Event{order.WasCancelled{Reason: order.ReasonCustomer}}},
		},
		"second alarm": {
			given: append(history(order.Cancelled), order.NeedsAttention{Reason: "ShipmentDispatched"}),
			when:  order.Input{Kind: order.ShipmentDelivered},
			then:  order.Decision{Outcome: order.Duplicate},
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

// TestRefundMendsAttention: a refund that went through in the end clears what the
// failed one raised.
func TestRefundMendsAttention(t *testing.T) {
	o := order.Order{}.Fold(history(order.Cancelling)...)
	o = o.Fold(o.Decide(order.Input{Kind: order.PaymentRefundFailed, Reason: "gateway down"}).Events...)
	if o.Status != order.Cancelling || o.Attention == nil {
		t.Fatalf("after the failed refund: %s, attention %v", o.Status, o.Attention)
	}
	o = o.Fold(o.Decide(order.Input{Kind: order.PaymentRefunded, Reason: "customer"}).Events...)
	if o.Status != order.Cancelled || o.Attention != nil {
		t.Fatalf("after the refund: %s, attention %v", o.Status, o.Attention)
	}
}
