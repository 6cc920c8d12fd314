package shop

import (
	"eventshop.example/services/inventory/inventory"
)

// handleInventory handles a record, and answers a command.
func (m *Model) handleInventory(w *World, i int, in inventory.Input) {
	if !m.decideInventory(w, i, in) {
		m.answer(w, i, string(in), string(inventory.AnswerTo(in, w.sagas[i].inventory)))
	}
}

// decideInventory applies an input to the reservation and moves the stock, as the service's app does.
// It reports whether it emits an event.
func (m *Model) decideInventory(w *World, i int, in inventory.Input) bool {
	state := &w.sagas[i].inventory
	d := m.tables.Inventory(*state, in)
	if d.Action == inventory.Refuse || d.Action == inventory.Duplicate {
		return false
	}
	*state = d.Next
	switch d.Effect {
	case inventory.Reserve:
		short := inventory.Allocate(map[string]int64{sku: int64(w.available)}, []inventory.Item{{SKU: sku, Quantity: 1}})
		if len(short) > 0 {
			*state = inventory.Rejected
			m.emit(w, i, "InventoryReservationFailed")
			return true
		}
		w.available, w.reserved = w.available-1, w.reserved+1
		m.emit(w, i, "InventoryReserved")
	case inventory.Release:
		w.available, w.reserved = w.available+1, w.reserved-1
		m.emit(w, i, "InventoryReleased")
	case inventory.Ship:
		w.reserved, w.shipped = w.reserved-1, w.shipped+1
	}
	return d.Effect == inventory.Reserve || d.Effect == inventory.Release
}
