package order

import (
	"maps"
	"slices"
	"testing"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// TestReactionsListWhatTheyEmit: every subscription lists the event types that the service emits,
// because a reaction has to wait while its event cannot be encoded. Only the request that places an
// order emits OrderCreated and OrderPlaced, and only commands are answered.
func TestReactionsListWhatTheyEmit(t *testing.T) {
	t.Parallel()
	names := func(types []event.Type) []string {
		var out []string
		for _, typ := range types {
			out = append(out, typ.Name)
		}
		slices.Sort(out)
		return out
	}
	placing := []string{events.TypeOf[events.OrderCreated]().Name, events.TypeOf[events.OrderPlaced]().Name}
	want := slices.DeleteFunc(names(emits()), func(name string) bool { return slices.Contains(placing, name) })
	for _, s := range subscriptions(new(app.App)) {
		want := want
		if s.Style() != event.Orchestrated {
			want = slices.DeleteFunc(slices.Clone(want), func(name string) bool { return name == events.TypeOf[events.OrderCommandAnswered]().Name })
		}
		if got := names(s.Emitted()); !slices.Equal(got, want) {
			t.Errorf("the subscription to %s lists %v, the service emits %v", s.Type.Name, got, want)
		}
	}
}

// TestStylesOfSubscriptions: an orchestrated order is moved on by commands and by what the outside did, and
// a choreographed one by the events of the participants and by what the outside did.
func TestStylesOfSubscriptions(t *testing.T) {
	t.Parallel()
	want := map[string]event.Style{
		"ConfirmOrder": event.Orchestrated, "CancelOrder": event.Orchestrated,
		"PaymentFailed": event.Choreographed, "PaymentRefunded": event.Choreographed, "PaymentVoided": event.Choreographed,
		"InventoryReservationFailed": event.Choreographed, "ShipmentScheduled": event.Choreographed, "ShipmentFailed": event.Choreographed,
		"PaymentRefundFailed": "", "ShipmentDispatched": "", "ShipmentDelivered": "", "ShipmentCancellationRejected": "",
	}
	got := map[string]event.Style{}
	for _, s := range subscriptions(new(app.App)) {
		got[s.Type.Name] = s.Style()
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
