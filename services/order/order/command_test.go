package order_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/services/order/order"
)

// TestEveryCommandIsAnswered: a command that emits nothing is answered, or an event that answers it is on
// its way. The events themselves are never answered.
func TestEveryCommandIsAnswered(t *testing.T) {
	want := map[order.Input]map[order.State]order.Answer{
		order.ConfirmOrder: {
			order.Pending: order.Refused, order.Confirmed: order.Unchanged, order.Shipped: order.Unchanged,
			order.Delivered: order.Unchanged, order.Cancelling: order.Refused, order.Cancelled: order.Refused,
			order.None: order.Refused, order.Draft: order.Refused, order.Discarded: order.Refused},
		order.CancelOrder: {
			order.Pending: order.Refused, order.Confirmed: order.Refused, order.Shipped: order.Refused,
			order.Delivered: order.Refused, order.Cancelling: order.Refused, order.Cancelled: order.Unchanged,
			order.None: order.Refused, order.Draft: order.Refused, order.Discarded: order.Refused},
	}
	for _, in := range order.Inputs() {
		for _, s := range order.States() {
			answer, command := want[in][s]
			if _, total := want[in]; total && !command {
				t.Fatalf("no expectation for %s in %q", in, s)
			}
			if got := order.AnswerTo(in, s); got != answer {
				t.Errorf("%s in %q: %q, want %q", in, s, got, answer)
			}
		}
	}
}

// TestAnswers: a command without an event that other services receive is answered with one, in every
// state. An attention is private, so it answers nothing.
func TestAnswers(t *testing.T) {
	t.Parallel()
	answered := func(in order.Input, a order.Answer) []order.Event {
		return []order.Event{order.OrderCommandAnswered{Command: in, Outcome: a}}
	}
	for _, s := range order.States() {
		o := order.Order{}.Fold(history(s)...)
		for _, in := range order.Inputs() {
			d := o.Decide(order.Message{Input: in, TrackingID: "T1"})
			got := o.Answer(in, d.Emit)
			want := []order.Event(nil)
			switch in {
			case order.ConfirmOrder:
				switch s {
				case order.Pending:
				case order.Confirmed, order.Shipped, order.Delivered:
					want = answered(in, order.Unchanged)
				default:
					want = answered(in, order.Refused)
				}
			case order.CancelOrder:
				switch s {
				case order.Pending, order.Cancelling:
				case order.Cancelled:
					want = answered(in, order.Unchanged)
				default:
					want = answered(in, order.Refused)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %q after %v (-want +got):\n%s", in, s, d.Emit, diff)
			}
			if after := o.Fold(d.Emit...); after.Fold(got...).State != after.State {
				t.Errorf("%s in %q: the answer changed the state", in, s)
			}
		}
	}
}

// TestCommandsSayWhatTheEventsSay: an orchestrated order ends with the same cause as a choreographed one.
func TestCommandsSayWhatTheEventsSay(t *testing.T) {
	t.Parallel()
	pending := order.Order{}.Fold(history(order.Pending)...)
	for reason, want := range map[string]order.Cause{
		"payment_failed":  {Reason: order.ReasonPaymentFailed, Detail: "why"},
		"out_of_stock":    {Reason: order.ReasonOutOfStock, Detail: "why"},
		"unknown_sku":     {Reason: order.ReasonOutOfStock, Detail: "unknown_sku: why"},
		"shipment_failed": {Reason: order.ReasonShipmentFailed, Detail: "why"},
		"customer":        {Reason: order.ReasonCustomer, Detail: "why"},
		"deadline":        {Reason: order.ReasonDeadline, Detail: "why"},
		"another":         {Reason: order.ReasonMoneyReturned, Detail: "another: why"},
	} {
		o := pending.Fold(pending.Decide(order.Message{Input: order.CancelOrder, Reason: reason, Detail: "why"}).Emit...)
		if o.State != order.Cancelled || o.Cancelled == nil || *o.Cancelled != want {
			t.Errorf("%s: %s for %v, want %v", reason, o.State, o.Cancelled, want)
		}
	}
	o := pending.Fold(pending.Decide(order.Message{Input: order.ConfirmOrder, TrackingID: "T7"}).Emit...)
	if o.State != order.Confirmed || o.TrackingID != "T7" {
		t.Errorf("%s with the tracking id %q", o.State, o.TrackingID)
	}
	cancelling := pending.Fold(pending.Decide(order.Message{Input: order.RequestCancellation, Detail: "changed my mind"}).Emit...)
	o = cancelling.Fold(cancelling.Decide(order.Message{Input: order.CancelOrder, Reason: "shipment_failed"}).Emit...)
	if o.Cancelled == nil || *o.Cancelled != (order.Cause{Reason: order.ReasonCustomer, Detail: "changed my mind"}) {
		t.Errorf("the customer's request is forgotten: %v", o.Cancelled)
	}
}

// TestContradictions: only a style that is not the order's own contradicts it.
func TestContradictions(t *testing.T) {
	t.Parallel()
	for _, own := range []order.Style{order.Choreographed, order.Orchestrated} {
		for _, s := range order.States() {
			o := order.Order{}.Fold(history(s)...)
			o.Style = own
			for _, style := range []order.Style{"", order.Choreographed, order.Orchestrated} {
				want := s.Placed() && style != "" && style != own
				if got := o.Contradicts(style); got != want {
					t.Errorf("%q of an order that is %q and %s: %v", style, s, own, got)
				}
				if !want {
					continue
				}
				d := o.Contradicted(order.ShipmentDispatched, style)
				after := o.Fold(d.Emit...)
				if d.Action != order.Refuse || after.State != o.State || after.Attention == nil {
					t.Errorf("in %q: %+v, attention %v", s, d, after.Attention)
				}
				if again := after.Contradicted(order.ShipmentDispatched, style); len(again.Emit) > 0 {
					t.Errorf("asks for attention twice: %v", again.Emit)
				}
			}
		}
	}
}
