package order_test

import (
	"fmt"
	"slices"
	"testing"

	"eventshop.example/services/order/internal/order"
)

// A saga as the order sees it: one queue per topic and one of the order's own
// commands. A key has one partition per topic, so each queue keeps its order; how
// the queues interleave is anybody's guess, and any event may come again later.
type saga struct {
	name   string
	queues [][]order.Input
	// after says which commands must come before which facts: what a participant
	// publishes only because the order asked for it comes after the asking.
	caused map[order.Kind]order.Kind
	status order.Status
	reason string // of the cancellation; "" when it was not cancelled
}

func sagas() []saga {
	in := func(k order.Kind, reason string) order.Input {
		return order.Input{Kind: k, Reason: reason, TrackingID: "T1"}
	}
	scheduled := in(order.ShipmentScheduled, "")
	dispatched, delivered := in(order.ShipmentDispatched, ""), in(order.ShipmentDelivered, "")
	asked, late := in(order.RequestCancellation, ""), in(order.PassDeadline, "")
	rejected := in(order.ShipmentCancellationRejected, "dispatched")
	return []saga{
		{name: "happy", queues: [][]order.Input{{scheduled, dispatched, delivered}}, status: order.Delivered},
		{name: "declined", queues: [][]order.Input{{in(order.PaymentFailed, "insufficient_funds")}},
			status: order.Cancelled, reason: order.ReasonPaymentFailed},
		{name: "out of stock", queues: [][]order.Input{
			{in(order.InventoryReservationFailed, "out_of_stock")}, {in(order.PaymentRefunded, "out_of_stock")}},
			status: order.Cancelled, reason: order.ReasonOutOfStock},
		{name: "carrier refuses", queues: [][]order.Input{
			{in(order.ShipmentFailed, "address_not_served")}, {in(order.PaymentRefunded, "shipment_failed")}},
			status: order.Cancelled, reason: order.ReasonShipmentFailed},
		{name: "carrier refuses, refund fails at first", queues: [][]order.Input{
			{in(order.ShipmentFailed, "address_not_served")},
			{in(order.PaymentRefundFailed, "down"), in(order.PaymentRefunded, "shipment_failed")}},
			status: order.Cancelled, reason: order.ReasonShipmentFailed},
		{name: "cancelled before dispatch, money taken", queues: [][]order.Input{
			{asked}, {scheduled}, {in(order.PaymentRefunded, "customer")}},
			caused: map[order.Kind]order.Kind{order.PaymentRefunded: order.RequestCancellation},
			status: order.Cancelled, reason: order.ReasonCustomer},
		{name: "cancelled before money was taken", queues: [][]order.Input{
			{asked}, {in(order.PaymentVoided, "customer")}},
			caused: map[order.Kind]order.Kind{order.PaymentVoided: order.RequestCancellation},
			status: order.Cancelled, reason: order.ReasonCustomer},
		{name: "cancelled after dispatch", queues: [][]order.Input{
			{asked}, {scheduled, dispatched, rejected, delivered}},
			status: order.Delivered},
		{name: "rejection overtakes the tracking feed", queues: [][]order.Input{
			{asked}, {scheduled, rejected, dispatched, delivered}},
			caused: map[order.Kind]order.Kind{order.ShipmentCancellationRejected: order.RequestCancellation},
			status: order.Delivered},
		{name: "deadline passes", queues: [][]order.Input{
			{late}, {in(order.PaymentVoided, "deadline")}},
			caused: map[order.Kind]order.Kind{order.PaymentVoided: order.PassDeadline},
			status: order.Cancelled, reason: order.ReasonDeadline},
		{name: "deadline and customer at once", queues: [][]order.Input{
			{late, asked}, {in(order.PaymentRefunded, "deadline")}},
			caused: map[order.Kind]order.Kind{order.PaymentRefunded: order.PassDeadline},
			status: order.Cancelled, reason: order.ReasonDeadline},
		{name: "deadline passes while out of stock is undone", queues: [][]order.Input{
			{late}, {in(order.InventoryReservationFailed, "out_of_stock")}, {in(order.PaymentRefunded, "out_of_stock")}},
			status: order.Cancelled},
	}
}

// TestPermutations runs every interleaving of each saga, each with every single
// event repeated at every later place, and finds the same end.
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
				s.check(t, append(slices.Clone(seq), seq...)) // all of it redelivered
			}
			if runs < 2 {
				t.Fatalf("only %d sequences: the enumeration is broken", runs)
			}
		})
	}
}

func (s saga) possible(seq []order.Input) bool {
	for effect, cause := range s.caused {
		first := func(k order.Kind) int {
			return slices.IndexFunc(seq, func(in order.Input) bool { return in.Kind == k })
		}
		if first(effect) < first(cause) {
			return false
		}
	}
	return true
}

func (s saga) check(t *testing.T, seq []order.Input) {
	t.Helper()
	o := order.Order{}.Fold(history(order.Pending)...)
	for _, in := range seq {
		o = o.Fold(o.Decide(in).Events...)
	}
	if o.Status != s.status {
		t.Errorf("%s ends %s, want %s", names(seq), o.Status, s.status)
	}
	if o.Attention != nil {
		t.Errorf("%s needs attention: %v", names(seq), *o.Attention)
	}
	if s.reason != "" && (o.Cancelled == nil || o.Cancelled.Reason != s.reason) {
		t.Errorf("%s is cancelled for %v, want %s", names(seq), o.Cancelled, s.reason)
	}
}

func names(seq []order.Input) string {
	var s []order.Kind
	for _, in := range seq {
		s = append(s, in.Kind)
	}
	return fmt.Sprint(s)
}

// interleavings gives every way to merge the queues that keeps each one's order.
func interleavings(queues [][]order.Input) [][]order.Input {
	var all [][]order.Input
	empty := true
	for i, q := range queues {
		if len(q) == 0 {
			continue
		}
		empty = false
		rest := slices.Clone(queues)
		rest[i] = q[1:]
		for _, tail := range interleavings(rest) {
			all = append(all, append([]order.Input{q[0]}, tail...))
		}
	}
	if empty {
		return [][]order.Input{nil}
	}
	return all
}
