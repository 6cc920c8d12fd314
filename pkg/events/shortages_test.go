package events_test

import (
	"testing"

	"eventshop.example/pkg/events"
)

// TestMissing: the sentence says only what the event shows.
func TestMissing(t *testing.T) {
	t.Parallel()
	const short, unknown = "out_of_stock", "unknown_sku"
	a, b, some := events.Shortage{SKU: "A", Requested: 1}, events.Shortage{SKU: "B", Requested: 2}, events.Shortage{SKU: "C", Requested: 9, Available: 4}
	for _, tt := range []struct {
		reason    string
		shortages []events.Shortage
		want      string
	}{
		{short, nil, ""},
		{short, []events.Shortage{a}, "A: 1 wanted, 0 there"},
		{short, []events.Shortage{some, b}, "C: 9 wanted, 4 there; B: 2 wanted, 0 there"},
		{unknown, []events.Shortage{a, some}, "A: 1 wanted, the SKU is unknown; C: 9 wanted, 4 there"},
		{unknown, []events.Shortage{a, b}, "A: 1 wanted, the SKU is unknown or sold out; B: 2 wanted, the SKU is unknown or sold out"},
	} {
		if got := (events.InventoryReservationFailed{Reason: tt.reason, Shortages: tt.shortages}).Missing(); got != tt.want {
			t.Errorf("%s, %v: %q, want %q", tt.reason, tt.shortages, got, tt.want)
		}
	}
}
