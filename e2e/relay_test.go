package e2e

import (
	"net/http"
	"testing"
)

// TestFrozenServicesThaw freezes each service in turn (SIGSTOP) while orders
// come in, long enough for its relay's lease and its group membership to lapse
// or not, thaws it (SIGCONT), and looks for what was lost, doubled or reordered.
func TestFrozenServicesThaw(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared
	s.receive(t, "FROZEN-1", 100)
	var ids []string
	place := func() {
		a := post(t, s.URL["order"]+"/orders", orderBody("frozen", "FROZEN-1", 1))
		if a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		ids = append(ids, a.field(t, "orderId"))
	}
	for _, victim := range []string{"payment", "inventory", "shipping", "projection"} {
		place()
		s.must(t, "pause", victim)
		for range 5 {
			place()
		}
		s.must(t, "resume", victim)
	}
	for _, id := range ids {
		s.awaitStatus(t, id, "DELIVERED")
	}
	s.verify(t)
}
