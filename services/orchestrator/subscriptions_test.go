package orchestrator

import (
	"strings"
	"testing"

	"eventshop.example/pkg/event"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/orchestrator"
)

// TestEveryInputHasASubscription: every event that the table knows is subscribed to, for orchestrated
// orders only, and so is the answer of every participant. Every command can be sent.
func TestEveryInputHasASubscription(t *testing.T) {
	t.Parallel()
	subscribed := map[string]bool{}
	for _, s := range subscriptions(app.New(app.Config{})) {
		if s.Style() != event.Orchestrated {
			t.Errorf("%s is subscribed to in the style %q", s.Type.Name, s.Style())
		}
		subscribed[s.Type.Name] = true
	}
	for _, in := range orchestrator.Facts() {
		if !subscribed[string(in)] {
			t.Errorf("%s is not subscribed to", in)
		}
		delete(subscribed, string(in))
	}
	emitted := map[string]bool{}
	for _, typ := range emits() {
		emitted[typ.Name] = true
	}
	answers := map[string]bool{}
	for _, command := range orchestrator.Effects() {
		if !emitted[string(command)] {
			t.Errorf("%s cannot be sent", command)
		}
		for _, object := range []string{"Payment", "Inventory", "Shipment", "Order"} {
			if strings.HasSuffix(string(command), object) {
				answers[object+"CommandAnswered"] = true
			}
		}
	}
	for name := range answers {
		if !subscribed[name] {
			t.Errorf("%s is not subscribed to", name)
		}
		delete(subscribed, name)
	}
	if len(subscribed) > 0 || len(emitted) != len(orchestrator.Effects()) {
		t.Errorf("subscribed to without an input: %v; %d types emitted", subscribed, len(emitted))
	}
}
