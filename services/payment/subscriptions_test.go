package payment

import (
	"slices"
	"testing"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/payment"
)

// TestSubscriptionsListWhatTheyEmit: a subscription lists every event that its record can produce by the
// transition table, because captured money must always be emitted. Those to commands also list the
// answer to a command that emits nothing.
func TestSubscriptionsListWhatTheyEmit(t *testing.T) {
	t.Parallel()
	charged := []payment.Input{payment.ChargeCaptured, payment.ChargeDeclined, payment.ChargeStopped}
	inputs := map[string][]payment.Input{
		events.TypeOf[events.OrderCreated]().Name:               append([]payment.Input{payment.OrderCreated}, charged...),
		events.TypeOf[events.InventoryReservationFailed]().Name: {payment.InventoryReservationFailed},
		events.TypeOf[events.ShipmentFailed]().Name:             {payment.ShipmentFailed},
		events.TypeOf[events.ShipmentCancelled]().Name:          {payment.ShipmentCancelled},
		events.TypeOf[events.ChargePayment]().Name:              append([]payment.Input{payment.ChargePayment}, charged...),
		events.TypeOf[events.RefundPayment]().Name:              {payment.RefundPayment},
	}
	for _, s := range subscriptions(new(app.App)) {
		var listed []string
		for _, typ := range s.Emitted() {
			listed = append(listed, typ.Name)
		}
		if len(inputs[s.Type.Name]) == 0 {
			t.Errorf("this test does not know what %s leads to", s.Type.Name)
		}
		for _, state := range payment.States() {
			for _, in := range inputs[s.Type.Name] {
				for _, fact := range payment.Decide(state, in).Emit {
					if !slices.Contains(listed, string(fact)) {
						t.Errorf("%s in state %s emits %s, which the subscription to %s does not list", in, state, fact, s.Type.Name)
					}
				}
				answer := payment.AnswerTo(in, state)
				if answer != payment.Awaited && !slices.Contains(listed, events.TypeOf[events.PaymentCommandAnswered]().Name) {
					t.Errorf("%s in state %s is answered, which the subscription to %s does not list", in, state, s.Type.Name)
				}
			}
		}
	}
}

// TestEachStyleHasItsOwnTriggers: in an orchestrated saga only commands start a step, and in a
// choreographed one only events.
func TestEachStyleHasItsOwnTriggers(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, s := range subscriptions(new(app.App)) {
		want := event.Choreographed
		typ, _ := events.Catalogue().Lookup(s.Type.Name)
		if receiver, ok := events.IsCommands(typ.Topic); ok && receiver == name {
			want, commands = event.Orchestrated, commands+1
		}
		if s.Style() != want {
			t.Errorf("the subscription to %s is of the style %q, want %q", s.Type.Name, s.Style(), want)
		}
	}
	if commands != 2 {
		t.Errorf("%d commands", commands)
	}
}
