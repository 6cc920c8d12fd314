package app_test

import (
	"strings"

	"github.com/google/uuid"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/orchestrator"
)

// delivery is a published event with the input that it means to its order's saga.
type delivery struct {
	topic, order, name string
	input              app.Input
	cause              outbox.Cause
}

func deliveryOf[T event.Event](input func(consumer.Event[T]) app.Input, data T) delivery {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID, e.Style = uuid.Must(uuid.NewV7()), "correlation-"+data.AggregateKey(), event.Orchestrated
	return delivery{topic: events.TypeOf[T]().Topic, order: data.AggregateKey(), name: data.EventType(), input: input(e), cause: e.Cause()}
}

func created(order string) events.OrderCreated {
	return events.OrderCreated{
		OrderID: order, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items: []events.OrderItem{
			{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 1}, {SKU: "WIDGET-01", Quantity: 3, UnitPrice: 2999},
		},
		TotalAmount: 14996, Currency: "GBP", ConfirmBy: start, SagaStyle: "orchestrated", OccurredAt: start,
	}
}

// usual returns an event with its usual data.
func usual(id string, in orchestrator.Input) delivery {
	switch in {
	case orchestrator.OrderCreated:
		return deliveryOf(app.OnOrderCreated, created(id))
	case orchestrator.OrderCancellationRequested:
		return deliveryOf(app.OnOrderCancellationRequested, events.OrderCancellationRequested{OrderID: id, Reason: "customer", Detail: "changed my mind"})
	case orchestrator.OrderConfirmed:
		return deliveryOf(app.OnOrderConfirmed, events.OrderConfirmed{OrderID: id, TrackingID: "TR-1"})
	case orchestrator.OrderCancelled:
		return deliveryOf(app.OnOrderCancelled, events.OrderCancelled{OrderID: id, Reason: "customer"})
	case orchestrator.PaymentCompleted:
		return deliveryOf(app.OnPaymentCompleted, events.PaymentCompleted{OrderID: id, PaymentID: "p"})
	case orchestrator.PaymentFailed:
		return deliveryOf(app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds", Detail: "not enough money"})
	case orchestrator.PaymentRefunded:
		return deliveryOf(app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
	case orchestrator.PaymentVoided:
		return deliveryOf(app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	case orchestrator.PaymentRefundFailed:
		return deliveryOf(app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "the gateway answered 503"})
	case orchestrator.InventoryReserved:
		return deliveryOf(app.OnInventoryReserved, events.InventoryReserved{OrderID: id, ReservationID: "r"})
	case orchestrator.InventoryReservationFailed:
		return deliveryOf(app.OnInventoryReservationFailed, events.InventoryReservationFailed{
			OrderID: id, Reason: "out_of_stock", Shortages: []events.Shortage{{SKU: "WIDGET-01", Requested: 5, Available: 2}},
		})
	case orchestrator.InventoryReleased:
		return deliveryOf(app.OnInventoryReleased, events.InventoryReleased{OrderID: id, ReservationID: "r", Reason: "customer"})
	case orchestrator.ShipmentScheduled:
		return deliveryOf(app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, ShipmentID: "s", TrackingID: "TR-1", Carrier: "c"})
	case orchestrator.ShipmentFailed:
		return deliveryOf(app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served", Detail: "no route"})
	case orchestrator.ShipmentCancelled:
		return deliveryOf(app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, ShipmentID: "s", Reason: "customer"})
	case orchestrator.ShipmentCancellationRejected:
		return deliveryOf(app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: id, ShipmentID: "s", Reason: "dispatched"})
	case orchestrator.ShipmentDispatched:
		return deliveryOf(app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, ShipmentID: "s", TrackingID: "TR-1"})
	case orchestrator.ShipmentDelivered:
		return deliveryOf(app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, ShipmentID: "s"})
	}
	command, outcome, ok := strings.Cut(string(in), ": ")
	if !ok {
		panic("no event for " + string(in))
	}
	switch {
	case strings.HasSuffix(command, "Payment"):
		return deliveryOf(app.OnPaymentCommandAnswered, events.PaymentCommandAnswered{OrderID: id, Command: command, Outcome: outcome, State: "SOME"})
	case strings.HasSuffix(command, "Inventory"):
		return deliveryOf(app.OnInventoryCommandAnswered, events.InventoryCommandAnswered{OrderID: id, Command: command, Outcome: outcome, State: "SOME"})
	case strings.HasSuffix(command, "Shipment"):
		return deliveryOf(app.OnShipmentCommandAnswered, events.ShipmentCommandAnswered{OrderID: id, Command: command, Outcome: outcome, State: "SOME"})
	}
	return deliveryOf(app.OnOrderCommandAnswered, events.OrderCommandAnswered{OrderID: id, Command: command, Outcome: outcome, State: "SOME"})
}
