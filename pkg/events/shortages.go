package events

import (
	"fmt"
	"strings"
)

// reasonUnknownSKU is the reason of InventoryReservationFailed when a SKU was never stocked.
const reasonUnknownSKU = "unknown_sku"

// Missing describes, for people, why the items could not be reserved; empty without shortages. The event
// reports 0 pieces both for an unknown SKU and for one that is sold out. When several SKUs have 0 pieces,
// the event does not show which of them is unknown.
func (e InventoryReservationFailed) Missing() string {
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
