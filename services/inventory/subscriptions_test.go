package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/app"
)

// TestEachStyleHasItsTriggers: in a choreographed order events start the steps, in an orchestrated one
// commands do. An event of another service that both styles acted on would move pieces twice.
func TestEachStyleHasItsTriggers(t *testing.T) {
	t.Parallel()
	want := map[string]event.Style{
		"OrderCreated": event.Choreographed, "PaymentCompleted": event.Choreographed, "PaymentFailed": event.Choreographed,
		"PaymentVoided": event.Choreographed, "ShipmentFailed": event.Choreographed, "ShipmentCancelled": event.Choreographed,
		"ShipmentDispatched": "", "ReserveInventory": event.Orchestrated, "ReleaseInventory": event.Orchestrated,
	}
	got := map[string]event.Style{}
	for _, s := range subscriptions(new(app.App)) {
		got[s.Type.Name] = s.Style()
		if emits, command := s.Emitted(), s.Style() == event.Orchestrated; command != answers(emits) {
			t.Errorf("%s is a command: %v, and lists the answer: %v", s.Type.Name, command, !command)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("styles (-want +got):\n%s", diff)
	}
}

// answers reports whether the answer to commands is among the types.
func answers(types []event.Type) bool {
	for _, typ := range types {
		if typ.Name == events.TypeOf[events.InventoryCommandAnswered]().Name {
			return true
		}
	}
	return false
}
