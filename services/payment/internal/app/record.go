package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/payment"
)

// learn takes over facts that are true whatever the decision: the amount of a late
// OrderCreated is worth knowing although its charge is refused.
func learn(row *db.Payment, s step) {
	if s.due != nil {
		row.CustomerID = s.due.customerID
		if row.ChargeID == "" { // what the gateway captured outranks what was due
			row.Amount, row.Currency = s.due.amount, s.due.currency
		}
	}
	for _, answer := range s.answers {
		switch answer.Outcome {
		case gateway.Captured:
			row.ChargeID, row.Amount, row.Currency = answer.ChargeID, answer.Amount, answer.Currency
		case gateway.Declined:
			row.DeclineCode, row.DeclineDetail = answer.DeclineCode, answer.Detail
		case gateway.Refunded:
			row.RefundID = answer.RefundID
		}
	}
}

// move gives the row its next state and what goes with it. It reports whether that is
// worth a line of history.
func (a *App) move(row *db.Payment, s step, in payment.Input, d payment.Decision, now time.Time) bool {
	before := payment.State(row.State)
	moved := d.Next != before || in == payment.RetryRefund && d.Action == payment.Apply
	row.State = string(d.Next)
	if d.Action == payment.Compensate && row.Reason == "" {
		row.Reason = s.reason
	}
	if moved && s.cause.CausationID != "" {
		row.CausationID, row.Traceparent, row.Tracestate = s.cause.CausationID, s.cause.TraceParent, s.cause.TraceState
	}
	switch {
	case !d.Next.Returning():
		row.NextAttemptAt, row.ReturningSince = nil, nil
	case !before.Returning() || in == payment.RetryRefund:
		row.Attempts, row.NextAttemptAt, row.LastError, row.Attention = 0, &now, "", ""
		row.ReturningSince = &now
	case before == payment.Voiding && d.Next == payment.Refunding:
		// The refund has attempts of its own; the one that heard of the capture goes on
		// to make the first. Attention that the void raised lasts until the money is back.
		row.Attempts, row.LastError, row.ReturningSince = 0, "", &now
		if in == payment.VoidTooLate {
			row.Attempts = 1
		}
	}
	if d.Next == payment.Refunded || d.Next == payment.Voided || d.Next == payment.Failed {
		row.LastError = ""
		if moved {
			row.Attention = "" // no money is held any more
		}
	}
	if d.Attention && (row.Attention == "" || in == payment.AttemptsSpent) {
		row.Attention = attention(*row, before, in)
		return true
	}
	return moved
}

func attention(row db.Payment, before payment.State, in payment.Input) string {
	if in == payment.AttemptsSpent {
		return fmt.Sprintf("%d attempts brought no answer, the last: %s", row.Attempts, row.LastError)
	}
	return fmt.Sprintf("the gateway contradicts itself: %s while the payment was %s", in, before)
}

// remember writes the line of history that goes with a move.
func (a *App) remember(ctx context.Context, tx pgx.Tx, row db.Payment, s step, in payment.Input, d payment.Decision, now time.Time) error {
	detail := s.reason
	switch {
	case d.Attention:
		detail = row.Attention
	case d.Next == payment.Failed:
		detail = row.DeclineCode
	}
	err := db.New(tx).AddHistory(ctx, db.AddHistoryParams{
		OrderID: row.OrderID, At: now, Input: string(in), Action: string(d.Action), State: row.State, Detail: detail,
	})
	if err != nil {
		return postgres.Classify(fmt.Errorf("add history: %w", err))
	}
	return nil
}

func store(ctx context.Context, tx pgx.Tx, row db.Payment) error {
	err := db.New(tx).UpdatePayment(ctx, db.UpdatePaymentParams{
		OrderID: row.OrderID, State: row.State, Version: row.Version, CustomerID: row.CustomerID,
		Amount: row.Amount, Currency: row.Currency, ChargeID: row.ChargeID, RefundID: row.RefundID,
		DeclineCode: row.DeclineCode, DeclineDetail: row.DeclineDetail, Reason: row.Reason,
		Attempts: row.Attempts, NextAttemptAt: row.NextAttemptAt, ReturningSince: row.ReturningSince, LastError: row.LastError, Attention: row.Attention,
		CausationID: row.CausationID, Traceparent: row.Traceparent, Tracestate: row.Tracestate, UpdatedAt: row.UpdatedAt,
	})
	if err != nil {
		return postgres.Classify(fmt.Errorf("store payment: %w", err))
	}
	return nil
}
