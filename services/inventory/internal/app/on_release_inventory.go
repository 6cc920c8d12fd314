package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnReleaseInventory compensates. Reserved items are released. If nothing is reserved, a tombstone
// refuses a later reservation.
func OnReleaseInventory(e consumer.Event[events.ReleaseInventory]) Input {
	return Input{Kind: inventory.ReleaseInventory, Reason: e.Data.Reason}
}
