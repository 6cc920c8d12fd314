package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/payment"
)

// tell appends the facts in their order, each as the payment's next version.
func (a *App) tell(ctx context.Context, tx pgx.Tx, row *db.Payment, cause outbox.Cause, facts []payment.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	if cause.CausationID == "" { // an attempt of the worker
		cause.CausationID, cause.TraceParent, cause.TraceState = row.CausationID, row.Traceparent, row.Tracestate
	}
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	entries := make([]outbox.Entry, len(facts))
	for i, fact := range facts {
		event, err := a.event(fact, *row)
		if err != nil {
			return err
		}
		row.Version++
		entries[i] = outbox.Entry{Event: event, AggregateID: row.OrderID, Version: row.Version, Cause: cause}
	}
	if err := a.outbox.Append(ctx, tx, entries...); err != nil {
		return fmt.Errorf("append %v: %w", facts, err)
	}
	return nil
}

// event builds the integration event from the row as it is after the step.
func (a *App) event(fact payment.Fact, row db.Payment) (events.Event, error) {
	now, id := a.now(), PaymentID(row.OrderID)
	switch fact {
	case payment.PaymentCompleted:
		return events.PaymentCompleted{OrderID: row.OrderID, PaymentID: id, Amount: row.Amount, Currency: row.Currency, OccurredAt: now}, nil
	case payment.PaymentFailed:
		return events.PaymentFailed{OrderID: row.OrderID, Reason: row.DeclineCode, Detail: row.DeclineDetail, OccurredAt: now}, nil
	case payment.PaymentRefunded:
		return events.PaymentRefunded{
			OrderID: row.OrderID, PaymentID: id, RefundID: row.RefundID, Amount: row.Amount, Currency: row.Currency,
			Reason: row.Reason, OccurredAt: now,
		}, nil
	case payment.PaymentVoided:
		return events.PaymentVoided{OrderID: row.OrderID, Reason: row.Reason, OccurredAt: now}, nil
	case payment.PaymentRefundFailed:
		return events.PaymentRefundFailed{
			OrderID: row.OrderID, PaymentID: id, Amount: row.Amount, Currency: row.Currency,
			Reason: row.LastError, Attempts: row.Attempts, OccurredAt: now,
		}, nil
	}
	return nil, errs.New(errs.Internal, "no event for %s", fact)
}
