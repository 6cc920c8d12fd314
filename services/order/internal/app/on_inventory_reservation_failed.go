package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnInventoryReservationFailed notes why the order will end; it ends when the money
// is back (OnPaymentRefunded).
func (a *App) OnInventoryReservationFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReservationFailed]) error {
	var short []string
	for _, s := range e.Data.Shortages {
		short = append(short, fmt.Sprintf("%s: %d wanted, %d there", s.SKU, s.Requested, s.Available))
	}
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.InventoryReservationFailed,
		Reason: e.Data.Reason,
		Detail: strings.Join(short, "; "),
	}, e.Cause())
}
