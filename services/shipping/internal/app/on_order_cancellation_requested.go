package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/shipping"
)

// AskOnOrderCancellationRequested cancels at the carrier, unless the row says already
// how this ends. It does so too when nothing was scheduled: the carrier's tombstone
// refuses a schedule that is under way.
func (a *App) AskOnOrderCancellationRequested(ctx context.Context, e consumer.Event[events.OrderCancellationRequested]) (carrier.Answer, error) {
	return a.ask(ctx, cancellationRequested(e))
}

// OnOrderCancellationRequested decides the cancellation, because dispatch is the saga's
// pivot: cancelled before it, rejected behind it.
func (a *App) OnOrderCancellationRequested(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCancellationRequested], answer carrier.Answer) error {
	s := cancellationRequested(e)
	s.answer = answer
	return a.react(ctx, tx, s)
}

func cancellationRequested(e consumer.Event[events.OrderCancellationRequested]) step {
	return step{
		orderID: e.Data.OrderID, input: shipping.OrderCancellationRequested, cause: e.Cause(),
		reason: e.Data.Reason, detail: e.Data.Detail,
	}
}
