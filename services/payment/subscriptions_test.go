package payment

import (
	"slices"
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/payment"
)

// TestChargesListWhatTheyEmit: the subscription lists every event that a charge can produce by the
// transition table, because captured money must always be emitted.
func TestChargesListWhatTheyEmit(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, s := range subscriptions(new(app.App)) {
		if s.Type.Name == events.TypeOf[events.OrderCreated]().Name {
			for _, typ := range s.Emitted() {
				listed = append(listed, typ.Name)
			}
		}
	}
	for _, state := range payment.States() {
		for _, in := range []payment.Input{payment.OrderCreated, payment.ChargeCaptured, payment.ChargeDeclined, payment.ChargeStopped} {
			for _, fact := range payment.Decide(state, in).Emit {
				if !slices.Contains(listed, string(fact)) {
					t.Errorf("%s in state %s tells of %s, which the subscription does not list", in, state, fact)
				}
			}
		}
	}
	for _, s := range subscriptions(new(app.App)) {
		for _, in := range []payment.Input{payment.InventoryReservationFailed, payment.ShipmentFailed, payment.ShipmentCancelled} {
			if s.Type.Name != string(in) {
				continue
			}
			for _, state := range payment.States() {
				if reported := payment.Decide(state, in).Emit; len(reported) > 0 && len(s.Emitted()) == 0 {
					t.Errorf("%s in state %s tells of %v, which its subscription does not list", in, state, reported)
				}
			}
		}
	}
}
