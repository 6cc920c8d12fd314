package order_test

import (
	"fmt"
	"slices"
	"testing"

	"eventshop.example/services/order/order"
)

// saga is a saga as the order receives it: one queue per topic and one for the order's own
// commands. A key has one partition per topic, so each queue keeps its order. The queues can
// interleave in any way, and any event may be repeated later.
type saga struct {
	name   string
	queues [][]order.Message
	// caused maps a fact to the command that must come before it, because a participant publishes
	// the fact only after the order's request.
	caused map[order.Input]order.Input
	state  order.State
	reason string // of the cancellation; "" when it was not cancelled
}

func sagas() []saga {
	in := func(k order.Input, reason string) order.Message {
		return order.Message{Input: k, Reason: reason, TrackingID: "T1"}
	}
	scheduled := in(order.ShipmentScheduled, "")
	dispatched, delivered := in(order.ShipmentDispatched, ""), in(order.ShipmentDelivered, "")
	asked, late := in(order.RequestCancellation, ""), in(order.PassDeadline, "")
	rejected := in(order.ShipmentCancellationRejected, "dispatched")
	return []saga{
		{name: "happy", queues: [][]order.Message{{scheduled, dispatched, delivered}}, state: order.Delivered},
		{name: "declined", queues: [][]order.Message{{in(order.PaymentFailed, "insufficient_funds")}},
			state: order.Cancelled, reason: order.ReasonPaymentFailed},
		{name: "out of stock", queues: [][]order.Message{
			{in(order.InventoryReservationFailed, "out_of_stock")}, {in(order.PaymentRefunded, "out_of_stock")}},
			state: order.Cancelled, reason: order.ReasonOutOfStock},
		{name: "carrier refuses", queues: [][]order.Message{
			{in(order.ShipmentFailed, "address_not_served")}, {in(order.PaymentRefunded, "shipment_failed")}},
			state: order.Cancelled, reason: order.ReasonShipmentFailed},
		{name: "carrier refuses, refund fails at first", queues: [][]order.Message{
			{in(order.ShipmentFailed, "address_not_served")},
			{in(order.PaymentRefundFailed, "down"), in(order.PaymentRefunded, "shipment_failed")}},
			state: order.Cancelled, reason: order.ReasonShipmentFailed},
		{name: "cancelled before dispatch, money taken", queues: [][]order.Message{
			{asked}, {scheduled}, {in(order.PaymentRefunded, "customer")}},
			caused: map[order.Input]order.Input{order.PaymentRefunded: order.RequestCancellation},
			state:  order.Cancelled, reason: order.ReasonCustomer},
		{name: "cancelled before money was taken", queues: [][]order.Message{
			{asked}, {in(order.PaymentVoided, "customer")}},
			caused: map[order.Input]order.Input{order.PaymentVoided: order.RequestCancellation},
			state:  order.Cancelled, reason: order.ReasonCustomer},
		{name: "cancelled after dispatch", queues: [][]order.Message{
			{asked}, {scheduled, dispatched, rejected, delivered}},
			state: order.Delivered},
		{name: "rejection overtakes the tracking feed", queues: [][]order.Message{
			{asked}, {scheduled, rejected, dispatched, delivered}},
			caused: map[order.Input]order.Input{order.ShipmentCancellationRejected: order.RequestCancellation},
			state:  order.Delivered},
		{name: "deadline passes", queues: [][]order.Message{
			{late}, {in(order.PaymentVoided, "deadline")}},
			caused: map[order.Input]order.Input{order.PaymentVoided: order.PassDeadline},
			state:  order.Cancelled, reason: order.ReasonDeadline},
		{name: "deadline and customer at once", queues: [][]order.Message{
			{late, asked}, {in(order.PaymentRefunded, "deadline")}},
			caused: map[order.Input]order.Input{order.PaymentRefunded: order.PassDeadline},
			state:  order.Cancelled, reason: order.ReasonDeadline},
		{name: "deadline passes while out of stock is undone", queues: [][]order.Message{
			{late}, {in(order.InventoryReservationFailed, "out_of_stock")}, {in(order.PaymentRefunded, "out_of_stock")}},
			state: order.Cancelled},
	}
}

// TestPermutations runs every interleaving of each saga, each with every single event repeated at
// every later position, and expects the same end.
func TestPermutations(t *testing.T) {
	for _, s := range sagas() {
		t.Run(s.name, func(t *testing.T) {
			runs := 0
			for _, seq := range interleavings(s.queues) {
				if !s.possible(seq) {
					continue
				}
				s.check(t, seq)
				runs++
				for i, in := range seq {
					for at := i + 1; at <= len(seq); at++ {
						s.check(t, slices.Insert(slices.Clone(seq), at, in))
						runs++
					}
				}
				s.check(t, append(slices.Clone(seq), seq...)) // all events redelivered
			}
			if runs < 2 {
				t.Fatalf("only %d sequences: the enumeration is broken", runs)
			}
		})
	}
}

func (s saga) possible(seq []order.Message) bool {
	for effect, cause := range s.caused {
		first := func(k order.Input) int {
			return slices.IndexFunc(seq, func(in order.Message) bool { return in.Input == k })
		}
		if first(effect) < first(cause) {
			return false
		}
	}
	return true
}

func (s saga) check(t *testing.T, seq []order.Message) {
	t.Helper()
	o := order.Order{}.Fold(history(order.Pending)...)
	for _, in := range seq {
		o = o.Fold(o.Decide(in).Emit...)
	}
	if o.State != s.state {
		t.Errorf("%s ends %s, want %s", names(seq), o.State, s.state)
	}
	if o.Attention != nil {
		t.Errorf("%s needs attention: %v", names(seq), *o.Attention)
	}
	if s.reason != "" && (o.Cancelled == nil || o.Cancelled.Reason != s.reason) {
		t.Errorf("%s is cancelled for %v, want %s", names(seq), o.Cancelled, s.reason)
	}
}

func names(seq []order.Message) string {
	var s []order.Input
	for _, in := range seq {
		s = append(s, in.Input)
	}
	return fmt.Sprint(s)
}

// interleavings returns every way to merge the queues that keeps the order of each queue.
func interleavings(queues [][]order.Message) [][]order.Message {
	var all [][]order.Message
	empty := true
	for i, q := range queues {
		if len(q) == 0 {
			continue
		}
		empty = false
		rest := slices.Clone(queues)
		rest[i] = q[1:]
		for _, tail := range interleavings(rest) {
			all = append(all, append([]order.Message{q[0]}, tail...))
		}
	}
	if empty {
		return [][]order.Message{nil}
	}
	return all
}
