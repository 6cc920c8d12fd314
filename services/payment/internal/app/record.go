package app

import (
	"fmt"

	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// learn stores facts that are true whatever the decision. For example, the amount of a late
// OrderCreated or ChargePayment is useful although its charge is refused.
func learn(row *db.Payment, in Input) {
	if in.Due != nil {
		row.CustomerID = in.Due.CustomerID
		if row.ChargeID == "" { // the captured amount takes precedence over the amount due
			row.Amount, row.Currency = in.Due.Amount, in.Due.Currency
		}
	}
	for _, answer := range in.Answers {
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

// move sets the row's next state and the fields that depend on it. It reports whether the change
// needs a line of history.
func move(row *db.Payment, s reaction.Step[Input], in payment.Input, d payment.Decision) bool {
	now := s.At
	before := payment.State(row.State)
	moved := d.Next != before || in == payment.RetryRefund && d.Action == payment.Apply
	row.State = string(d.Next)
	if d.Action == payment.Compensate && row.Reason == "" {
		row.Reason = s.Input.Reason
	}
	if moved && s.Cause.CausationID != "" {
		row.CausationID, row.Traceparent, row.Tracestate = s.Cause.CausationID, s.Cause.TraceParent, s.Cause.TraceState
	}
	switch {
	case !d.Next.Returning():
		row.NextAttemptAt, row.ReturningSince = nil, nil
	case !before.Returning() || in == payment.RetryRefund:
		row.Attempts, row.NextAttemptAt, row.LastError, row.Attention = 0, &now, "", ""
		row.ReturningSince = &now
	case before == payment.Voiding && d.Next == payment.Refunding:
		// The refund has its own attempts. The attempt that found the capture goes on to make the
		// first refund. Attention that the void raised lasts until the money is returned.
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

// noAnswer is in the attention of attempts that are used up.
const noAnswer = "attempts brought no answer"

func attention(row db.Payment, before payment.State, in payment.Input) string {
	if in == payment.AttemptsSpent {
		return fmt.Sprintf("%d %s, the last: %s", row.Attempts, noAnswer, row.LastError)
	}
	return fmt.Sprintf("the gateway contradicts itself: %s while the payment was %s", in, before)
}

// lineOf returns the line of history of a move.
func lineOf(row db.Payment, s reaction.Step[Input], in payment.Input, d payment.Decision) db.PaymentHistory {
	detail := s.Input.Reason
	switch {
	case d.Attention:
		detail = row.Attention
	case d.Next == payment.Failed:
		detail = row.DeclineCode
	}
	return db.PaymentHistory{At: s.At, Input: string(in), Action: string(d.Action), State: row.State, Detail: detail}
}
