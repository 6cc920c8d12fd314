package app

import (
	"fmt"
	"strings"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnInventoryReservationFailed turns the saga back, because nothing can be shipped. While the
// reservation is being undone, it is the answer that there was nothing to release.
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{
		Kind: orchestrator.InventoryReservationFailed, Reason: reasonOutOfStock, Detail: joined(e.Data.Reason, missingItems(e.Data)),
	}
}

// reasonUnknownSKU is the reason that inventory gives when a SKU was never stocked.
const reasonUnknownSKU = "unknown_sku"

// missingItems describes why the items could not be reserved, in the words of the order service. The
// event reports 0 pieces both for an unknown SKU and for one that is sold out. When several SKUs have 0
// pieces, the event does not show which of them is unknown.
func missingItems(e events.InventoryReservationFailed) string {
	none := 0
	for _, s := range e.Shortages {
		if s.Available == 0 {
			none++
		}
	}
	var short []string
	for _, s := range e.Shortages {
		there := fmt.Sprintf("%d there", s.Available)
		if e.Reason == reasonUnknownSKU && s.Available == 0 {
			there = "the SKU is unknown"
			if none > 1 {
				there = "the SKU is unknown or sold out"
			}
		}
		short = append(short, fmt.Sprintf("%s: %d wanted, %s", s.SKU, s.Requested, there))
	}
	return strings.Join(short, "; ")
}
