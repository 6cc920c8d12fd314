package shipping

import (
	"slices"
	"testing"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/app"
	"eventshop.example/services/shipping/shipping"
)

// TestCallsListWhatTheyEmit: the subscriptions list every event that the carrier's answers can
// produce by the transition table, because a booked or cancelled parcel must always be emitted. Those
// to commands also list the answer to a command that emits nothing.
func TestCallsListWhatTheyEmit(t *testing.T) {
	t.Parallel()
	states := []shipping.State{shipping.None, shipping.AwaitingReservation, shipping.AwaitingAddress, shipping.Scheduled,
		shipping.Failed, shipping.Dispatched, shipping.Delivered, shipping.Cancelled}
	scheduled := []shipping.Input{shipping.CarrierAccepted, shipping.CarrierRefused, shipping.CarrierStopped}
	inputs := map[string][]shipping.Input{
		events.TypeOf[events.OrderCreated]().Name:               append([]shipping.Input{shipping.OrderCreated}, scheduled...),
		events.TypeOf[events.InventoryReserved]().Name:          append([]shipping.Input{shipping.InventoryReserved}, scheduled...),
		events.TypeOf[events.OrderCancellationRequested]().Name: {shipping.OrderCancellationRequested, shipping.CarrierCancelled, shipping.CarrierDeparted},
		events.TypeOf[events.InventoryReservationFailed]().Name: {shipping.InventoryReservationFailed},
		events.TypeOf[events.PaymentFailed]().Name:              {shipping.PaymentFailed},
		events.TypeOf[events.ScheduleShipment]().Name:           append([]shipping.Input{shipping.ScheduleShipment}, scheduled...),
		events.TypeOf[events.CancelShipment]().Name:             {shipping.CancelShipment, shipping.CarrierCancelled, shipping.CarrierDeparted},
	}
	for _, s := range subscriptions(new(app.App)) {
		var listed []string
		for _, typ := range s.Emitted() {
			listed = append(listed, typ.Name)
		}
		if len(inputs[s.Type.Name]) == 0 {
			t.Errorf("this test does not know what %s leads to", s.Type.Name)
		}
		for _, state := range states {
			for _, in := range inputs[s.Type.Name] {
				for _, fact := range shipping.Decide(state, in).Emit {
					if !slices.Contains(listed, string(fact)) {
						t.Errorf("%s in state %s tells of %s, which the subscription to %s does not list", in, state, fact, s.Type.Name)
					}
				}
				answer := shipping.AnswerTo(in, state)
				if answer != shipping.Awaited && !slices.Contains(listed, events.TypeOf[events.ShipmentCommandAnswered]().Name) {
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
