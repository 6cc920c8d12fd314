package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/shipping"
)

// AskOnOrderCreated schedules the parcel when the goods are reserved already: topics keep
// no order among each other, so the reservation may have come first.
func (a *App) AskOnOrderCreated(ctx context.Context, e consumer.Event[events.OrderCreated]) (carrier.Answer, error) {
	return a.ask(ctx, orderCreated(e))
}

// OnOrderCreated learns what is to be shipped and where.
func (a *App) OnOrderCreated(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCreated], answer carrier.Answer) error {
	s := orderCreated(e)
	s.answer = answer
	return a.react(ctx, tx, s)
}

func orderCreated(e consumer.Event[events.OrderCreated]) step {
	p := &parcel{
		CustomerID: e.Data.Customer.ID,
		Address: carrier.Address{
			Street: e.Data.ShippingAddress.Street, City: e.Data.ShippingAddress.City,
			PostalCode: e.Data.ShippingAddress.PostalCode, Country: e.Data.ShippingAddress.Country,
		},
		Items: make([]carrier.Item, len(e.Data.Items)),
	}
	for i, it := range e.Data.Items {
		p.Items[i] = carrier.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	return step{orderID: e.Data.OrderID, input: shipping.OrderCreated, cause: e.Cause(), parcel: p}
}
