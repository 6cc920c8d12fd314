package app

import (
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/payment"
)

// emit returns the facts as outbox entries in order. Each fact gets the payment's next version.
func emit(row *db.Payment, s reaction.Step[Input], facts []payment.Fact) ([]outbox.Entry, error) {
	entries := make([]outbox.Entry, len(facts))
	for i, fact := range facts {
		e, err := eventOf(fact, *row, s.At)
		if err != nil {
			return nil, err
		}
		entries[i] = next(row, s, e)
	}
	return entries, nil
}

// answer returns the answer to a command that emitted nothing, or nothing when an event that answers it
// is still to come. A record that is no command has no answer.
func answer(row *db.Payment, s reaction.Step[Input]) []outbox.Entry {
	command := s.Input.record()
	outcome := payment.AnswerTo(command, payment.State(row.State))
	if outcome == payment.Awaited {
		return nil
	}
	return []outbox.Entry{next(row, s, events.PaymentCommandAnswered{
		OrderID: row.OrderID, Command: string(command), Outcome: string(outcome), State: row.State, OccurredAt: s.At,
	})}
}

// next returns the entry of the payment's next event. It has the style of the order's saga, whatever the
// step came from.
func next(row *db.Payment, s reaction.Step[Input], e event.Event) outbox.Entry {
	cause := s.Cause
	cause.Style = event.Style(row.SagaStyle)
	if cause.CausationID == "" { // an attempt of the worker: it acts for the record that last moved the payment
		cause.CausationID = row.CausationID
	}
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	row.Version++
	return outbox.Entry{Event: e, AggregateID: row.OrderID, Version: row.Version, Cause: cause}
}

// eventOf builds the integration event from the row after the step.
func eventOf(fact payment.Fact, row db.Payment, now time.Time) (event.Event, error) {
	id := PaymentID(row.OrderID)
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
