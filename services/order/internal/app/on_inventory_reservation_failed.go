package app

import (
	"fmt"
	"strings"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnInventoryReservationFailed records why the order will end. The order ends when the money is
// returned (OnPaymentRefunded).
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{Message: order.Message{
		Input:  order.InventoryReservationFailed,
		Reason: e.Data.Reason,
		Detail: missing(e.Data),
	}}
}

// reasonUnknownSKU is the reason that inventory gives when a SKU was never stocked.
const reasonUnknownSKU = "unknown_sku"

// missing describes why the items could not be reserved. The event reports 0 pieces both for an
// unknown SKU and for one that is sold out. When several SKUs have 0 pieces, the event does not
// show which of them is unknown.
func missing(e events.InventoryReservationFailed) string {
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
