package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/payment"
)

// Reasons for returning money or not taking it: the vocabulary of PaymentRefunded and
// PaymentVoided. An unknown SKU is out of stock.
const (
	reasonOutOfStock     = "out_of_stock"
	reasonUnknownSKU     = "unknown_sku"
	reasonShipmentFailed = "shipment_failed"
	reasonCustomer       = "customer"
	reasonDeadline       = "deadline"
)

// OnShipmentCancelled compensates the payment, because nothing will be shipped. It may be the first
// event about the order that payment receives.
func OnShipmentCancelled(e consumer.Event[events.ShipmentCancelled]) Input {
	reason := e.Data.Reason
	if reason != reasonCustomer && reason != reasonDeadline {
		reason = reasonShipmentFailed // cancelled at the carrier without a request of this shop
	}
	return Input{Kinds: []payment.Input{payment.ShipmentCancelled}, Reason: reason}
}
