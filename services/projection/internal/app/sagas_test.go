package app_test

import (
	"time"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

// story records a saga. Each event is one second after the previous one, and each service counts
// the versions of its own aggregate.
type story struct {
	f          *fixture
	order      string
	at         time.Time
	versions   map[string]int64
	deliveries []delivery
}

func (f *fixture) story(order string) *story {
	return &story{f: f, order: order, at: start, versions: map[string]int64{}}
}

// add adds the event that compose returns for the next second.
func add[T event.Event](s *story, handle reaction[T], compose func(at time.Time) T) *story {
	s.at = s.at.Add(time.Second)
	topic := events.TypeOf[T]().Topic
	s.versions[topic]++
	s.deliveries = append(s.deliveries, deliveryOf(handle, s.versions[topic], compose(s.at)))
	return s
}

func (s *story) created(customer, currency string, items ...events.OrderItem) *story {
	return add(s, app.OnOrderCreated, func(at time.Time) events.OrderCreated {
		var total int64
		for _, it := range items {
			total += int64(it.Quantity) * it.UnitPrice
		}
		return events.OrderCreated{
			OrderID:         s.order,
			Customer:        events.Customer{ID: customer, Name: "Ada", Email: "ada@example.com"},
			ShippingAddress: events.Address{Street: "1 Test St", City: "London", PostalCode: "N1", Country: "GB"},
			Items:           items, TotalAmount: total, Currency: currency, ConfirmBy: at.Add(time.Minute), OccurredAt: at,
		}
	})
}

func (s *story) paid(amount int64, currency string) *story {
	return add(s, app.OnPaymentCompleted, func(at time.Time) events.PaymentCompleted {
		return events.PaymentCompleted{OrderID: s.order, PaymentID: "pay", Amount: amount, Currency: currency, OccurredAt: at}
	})
}

func (s *story) declined() *story {
	return add(s, app.OnPaymentFailed, func(at time.Time) events.PaymentFailed {
		return events.PaymentFailed{OrderID: s.order, Reason: "insufficient_funds", OccurredAt: at}
	})
}

func (s *story) refunded(amount int64, currency string) *story {
	return add(s, app.OnPaymentRefunded, func(at time.Time) events.PaymentRefunded {
		return events.PaymentRefunded{OrderID: s.order, Amount: amount, Currency: currency, Reason: "out_of_stock", OccurredAt: at}
	})
}

func (s *story) refundFailed() *story {
	return add(s, app.OnPaymentRefundFailed, func(at time.Time) events.PaymentRefundFailed {
		return events.PaymentRefundFailed{OrderID: s.order, Reason: "gateway_down", Attempts: 5, OccurredAt: at}
	})
}

func (s *story) voided() *story {
	return add(s, app.OnPaymentVoided, func(at time.Time) events.PaymentVoided {
		return events.PaymentVoided{OrderID: s.order, Reason: "customer", OccurredAt: at}
	})
}

func (s *story) reserved() *story {
	return add(s, app.OnInventoryReserved, func(at time.Time) events.InventoryReserved {
		return events.InventoryReserved{OrderID: s.order, OccurredAt: at}
	})
}

func (s *story) outOfStock() *story {
	return add(s, app.OnInventoryReservationFailed, func(at time.Time) events.InventoryReservationFailed {
		return events.InventoryReservationFailed{OrderID: s.order, Reason: "out_of_stock", OccurredAt: at}
	})
}

func (s *story) released() *story {
	return add(s, app.OnInventoryReleased, func(at time.Time) events.InventoryReleased {
		return events.InventoryReleased{OrderID: s.order, Reason: "shipment_failed", OccurredAt: at}
	})
}

func (s *story) scheduled() *story {
	return add(s, app.OnShipmentScheduled, func(at time.Time) events.ShipmentScheduled {
		return events.ShipmentScheduled{OrderID: s.order, TrackingID: "T-1", OccurredAt: at}
	})
}

func (s *story) notServed() *story {
	return add(s, app.OnShipmentFailed, func(at time.Time) events.ShipmentFailed {
		return events.ShipmentFailed{OrderID: s.order, Reason: "address_not_served", OccurredAt: at}
	})
}

func (s *story) dispatched() *story {
	return add(s, app.OnShipmentDispatched, func(at time.Time) events.ShipmentDispatched {
		return events.ShipmentDispatched{OrderID: s.order, TrackingID: "T-1", DispatchedAt: at, OccurredAt: at}
	})
}

func (s *story) arrived() *story {
	return add(s, app.OnShipmentDelivered, func(at time.Time) events.ShipmentDelivered {
		return events.ShipmentDelivered{OrderID: s.order, DeliveredAt: at, OccurredAt: at}
	})
}

func (s *story) stopped() *story {
	return add(s, app.OnShipmentCancelled, func(at time.Time) events.ShipmentCancelled {
		return events.ShipmentCancelled{OrderID: s.order, Reason: "customer", OccurredAt: at}
	})
}

func (s *story) tooLate() *story {
	return add(s, app.OnShipmentCancellationRejected, func(at time.Time) events.ShipmentCancellationRejected {
		return events.ShipmentCancellationRejected{OrderID: s.order, Reason: "dispatched", OccurredAt: at}
	})
}

func (s *story) confirmed() *story {
	return add(s, app.OnOrderConfirmed, func(at time.Time) events.OrderConfirmed {
		return events.OrderConfirmed{OrderID: s.order, TrackingID: "T-1", OccurredAt: at}
	})
}

func (s *story) cancelling() *story {
	return add(s, app.OnOrderCancellationRequested, func(at time.Time) events.OrderCancellationRequested {
		return events.OrderCancellationRequested{OrderID: s.order, Reason: "customer", OccurredAt: at}
	})
}

func (s *story) cancelled(reason string) *story {
	return add(s, app.OnOrderCancelled, func(at time.Time) events.OrderCancelled {
		return events.OrderCancelled{OrderID: s.order, Reason: reason, OccurredAt: at}
	})
}

func (s *story) shipped() *story {
	return add(s, app.OnOrderShipped, func(at time.Time) events.OrderShipped {
		return events.OrderShipped{OrderID: s.order, TrackingID: "T-1", OccurredAt: at}
	})
}

func (s *story) delivered() *story {
	return add(s, app.OnOrderDelivered, func(at time.Time) events.OrderDelivered {
		return events.OrderDelivered{OrderID: s.order, OccurredAt: at}
	})
}

// paymentAnswered adds that a command to payment changed nothing. The next ones do the same for the other services.
func (s *story) paymentAnswered(command, outcome string) *story {
	return add(s, app.OnPaymentCommandAnswered, func(at time.Time) events.PaymentCommandAnswered {
		return events.PaymentCommandAnswered{OrderID: s.order, Command: command, Outcome: outcome, OccurredAt: at}
	})
}

func (s *story) inventoryAnswered(command, outcome string) *story {
	return add(s, app.OnInventoryCommandAnswered, func(at time.Time) events.InventoryCommandAnswered {
		return events.InventoryCommandAnswered{OrderID: s.order, Command: command, Outcome: outcome, OccurredAt: at}
	})
}

func (s *story) shipmentAnswered(command, outcome string) *story {
	return add(s, app.OnShipmentCommandAnswered, func(at time.Time) events.ShipmentCommandAnswered {
		return events.ShipmentCommandAnswered{OrderID: s.order, Command: command, Outcome: outcome, OccurredAt: at}
	})
}

func (s *story) orderAnswered(command, outcome string) *story {
	return add(s, app.OnOrderCommandAnswered, func(at time.Time) events.OrderCommandAnswered {
		return events.OrderCommandAnswered{OrderID: s.order, Command: command, Outcome: outcome, OccurredAt: at}
	})
}

// sagas returns one order per possible path of the saga.
func (f *fixture) sagas() map[string]*story {
	widget := events.OrderItem{SKU: "WIDGET", Quantity: 2, UnitPrice: 1250}
	gadget := events.OrderItem{SKU: "GADGET", Quantity: 1, UnitPrice: 499}
	return map[string]*story{
		"delivered": f.story("o-delivered").created("c-1", "GBP", widget, gadget).paid(2999, "GBP").reserved().scheduled().
			confirmed().dispatched().shipped().arrived().delivered(),
		"declined": f.story("o-declined").created("c-1", "GBP", widget).declined().cancelled("payment_failed"),
		"out of stock, refund fails first": f.story("o-short").created("c-2", "JPY", gadget).paid(499, "JPY").outOfStock().
			refundFailed().refunded(499, "JPY").cancelled("out_of_stock"),
		"not served": f.story("o-unserved").created("c-2", "GBP", gadget).paid(499, "GBP").reserved().notServed().released().
			refunded(499, "GBP").cancelled("shipment_failed"),
		"cancelled before the charge": f.story("o-voided").created("c-3", "EUR", gadget).cancelling().stopped().voided().
			cancelled("customer"),
		"cancelled, the void has to wait": f.story("o-void-waits").created("c-3", "EUR", gadget).cancelling().stopped().refundFailed().
			voided().cancelled("customer"),
		"cancelled, the void finds a decline": f.story("o-void-declined").created("c-3", "EUR", gadget).cancelling().stopped().
			refundFailed().declined().cancelled("payment_failed"),
		"cancelled, the void finds a capture": f.story("o-void-captured").created("c-3", "EUR", gadget).cancelling().stopped().
			refundFailed().paid(499, "EUR").refunded(499, "EUR").cancelled("customer"),
		"cancelled too late": f.story("o-late").created("c-3", "EUR", gadget).paid(499, "EUR").reserved().scheduled().confirmed().
			cancelling().dispatched().tooLate().shipped().arrived().delivered(),
		"orchestrated, every command sent again": f.story("o-commanded").created("c-5", "GBP", gadget).paid(499, "GBP").
			paymentAnswered("ChargePayment", "unchanged").reserved().inventoryAnswered("ReserveInventory", "unchanged").scheduled().
			confirmed().orderAnswered("ConfirmOrder", "unchanged").cancelling().dispatched().
			shipmentAnswered("CancelShipment", "refused").shipped().arrived().delivered(),
		"refund keeps failing": f.story("o-stuck").created("c-4", "EUR", gadget).paid(499, "EUR").outOfStock().refundFailed(),
	}
}
