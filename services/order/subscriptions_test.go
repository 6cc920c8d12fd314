package order

import (
	"slices"
	"testing"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// TestReactionsListWhatTheyEmit: every subscription lists the event types that the service emits,
// because a reaction has to wait while its event cannot be encoded. Only the request that places an
// order emits OrderCreated and OrderPlaced.
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
		if got := names(s.Emitted()); !slices.Equal(got, want) {
			t.Errorf("the subscription to %s lists %v, the service emits %v", s.Type.Name, got, want)
		}
	}
}
