package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// contradicts reports whether a record contradicts the style in which the order's saga is coordinated.
// style is the record's, and said is the style that its data name. Either is empty when there is none:
// an attempt of the worker and a command of an operator have no style. Where there is no row yet, the
// record's style is the order's.
func contradicts(row db.Payment, style, said event.Style) bool {
	return event.Style(row.SagaStyle).Contradicts(style, said)
}

// contradict asks for a person, because two coordinators act on one order. It changes nothing else: no
// money moves, and no answer is published. The same contradiction is stored once.
func (a *App) contradict(c *change, s reaction.Step[Input]) {
	record, by := s.Input.record(), event.Style(c.row.SagaStyle).Contradiction(s.Cause.Style, s.Input.Style)
	found := fmt.Sprintf("the style of the saga is contradicted: %s says %s, and the order's saga is %s", record, by, c.row.SagaStyle)
	if asked := slices.IndexFunc(s.Input.Answers, func(g gateway.Answer) bool { return g.Outcome != "" }); asked >= 0 {
		// Another process created the row between the call and this transaction.
		found += fmt.Sprintf("; the gateway had answered: %s", s.Input.Answers[asked].Outcome)
	}
	c.last = payment.Refuse
	c.afterCommit(func(ctx context.Context) {
		a.metrics.decided(record, payment.Refuse)
		a.log.WarnContext(ctx, "payment needs a person", "status", c.row.State, "attention", found)
	})
	if strings.Contains(c.row.Attention, found) {
		return
	}
	c.row.Attention = strings.TrimPrefix(c.row.Attention+"; "+found, "; ")
	c.lines = append(slices.Clip(c.lines), db.PaymentHistory{
		At: s.At, Input: string(record), Action: string(payment.Refuse), State: c.row.State, Detail: found,
	})
}
