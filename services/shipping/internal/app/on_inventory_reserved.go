package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/shipping"
)

// AskOnInventoryReserved schedules the parcel, when its address is known.
func (a *App) AskOnInventoryReserved(ctx context.Context, e consumer.Event[events.InventoryReserved]) (carrier.Answer, error) {
	return a.ask(ctx, inventoryReserved(e))
}

// OnInventoryReserved is the saga's turn to ship: the goods are there.
func (a *App) OnInventoryReserved(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReserved], answer carrier.Answer) error {
	s := inventoryReserved(e)
	s.answer = answer
	return a.react(ctx, tx, s)
}

func inventoryReserved(e consumer.Event[events.InventoryReserved]) step {
	return step{orderID: e.Data.OrderID, input: shipping.InventoryReserved, cause: e.Cause()}
}
