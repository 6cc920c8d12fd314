package app

import (
	"cmp"
	"context"
	"slices"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// Input is what an event, an attempt of the worker or a command means to an order's payment.
type Input struct {
	// Kinds are applied in order, as one step: an attempt can find a capture and refund it.
	Kinds []payment.Input
	// Record is what the record itself is, where Kinds has the gateway's answer to its call; or empty.
	Record payment.Input
	// Style is the style of the saga that the record's data name; empty when they name none.
	Style event.Style
	// MustExist refuses an order without a payment. Events leave it false, because any event can be
	// the first about its order.
	MustExist bool

	Due     *Due             // set for OrderCreated and ChargePayment only
	Answers []gateway.Answer // the gateway's answers; a zero answer when it was not called
	Reason  string           // why this step compensates; empty when it does not
	Failure *Failure         // set for an attempt whose last call got no answer
}

// Due is the amount to pay and the customer, from OrderCreated or ChargePayment.
type Due struct {
	CustomerID string
	Amount     int64 // minor units
	Currency   string
}

// record returns the event or the command that led to the input, or the first of the inputs; empty for
// an attempt without an answer.
func (in Input) record() payment.Input {
	if in.Record == "" && len(in.Kinds) > 0 {
		return in.Kinds[0]
	}
	return in.Record
}

// Payment is the payment of one order.
type Payment struct {
	row   db.Payment          // zero when there is none
	lines []db.PaymentHistory // of this set, not stored yet and without order id and number
	last  payment.Action      // what the last input of this set led to
}

func (p Payment) state() payment.State {
	if p.row.OrderID == "" {
		return payment.None
	}
	return payment.State(p.row.State)
}

// change is a decision in progress.
type change struct {
	Payment
	events    []outbox.Entry
	committed []func(ctx context.Context) // log lines and counts
}

func (c *change) afterCommit(f func(ctx context.Context)) { c.committed = append(c.committed, f) }

// decide applies the transition table to the step's inputs and updates the row.
func (a *App) decide(p Payment, s reaction.Step[Input]) (reaction.Decision[Payment], error) {
	if p.row.OrderID == "" {
		return reaction.Decision[Payment]{}, notFound(s.Key)
	}
	c := change{Payment: p}
	failed := s.Input.Failure != nil
	if contradicts(p.row, s.Cause.Style, s.Input.Style) {
		a.contradict(&c, s)
	} else if err := a.act(&c, s); err != nil {
		return reaction.Decision[Payment]{}, err
	}
	out := reaction.Decision[Payment]{Events: c.events, Changed: c.row != p.row} // a repeated fact changes nothing
	if out.Changed {
		c.row.UpdatedAt = s.At
	}
	out.State = c.Payment
	out.Committed = func(ctx context.Context) {
		ctx = telemetry.With(ctx, c.row.OrderID, "", c.row.CorrelationID)
		for _, f := range c.committed {
			f(ctx)
		}
		if !failed && c.state().Returning() {
			a.wakeWorker()
		}
	}
	return out, nil
}

// act applies the step, and answers a command that emitted nothing.
func (a *App) act(c *change, s reaction.Step[Input]) error {
	learn(&c.row, s.Input)
	if err := a.apply(c, s, s.Input.Kinds); err != nil {
		return err
	}
	if s.Input.Failure != nil && c.state().Returning() {
		return a.failAttempt(c, s)
	}
	if len(c.events) == 0 {
		c.events = append(c.events, answer(&c.row, s)...)
	}
	return nil
}

// apply applies inputs in order and emits their facts.
func (a *App) apply(c *change, s reaction.Step[Input], inputs []payment.Input) error {
	before := c.row
	var facts []payment.Fact
	for _, in := range inputs {
		state := c.state()
		d := payment.Decide(state, in)
		if d.Effect == payment.Charge {
			return errs.New(errs.Transient, "payment of order %s was not charged for; asking the gateway next time", s.Key)
		}
		c.last = d.Action
		if move(&c.row, s, in, d) {
			c.lines = append(slices.Clip(c.lines), lineOf(c.row, s, in, d))
		}
		facts = append(facts, d.Emit...)
		c.afterCommit(func(ctx context.Context) {
			a.metrics.decided(in, d.Action)
			a.log.DebugContext(ctx, "payment decided", "cause", in, "outcome", d.Action,
				"from", state, "to", d.Next, "events", d.Emit)
		})
	}
	entries, err := emit(&c.row, s, facts)
	if err != nil {
		return err
	}
	c.events = append(c.events, entries...)
	after := c.row
	c.afterCommit(func(ctx context.Context) { a.report(ctx, before, after, inputs, facts) })
	return nil
}

// report logs one INFO line per payment: the result of the charge, when it becomes known. The order's
// own log line carries the reason when money was returned later. report logs at WARN when a person has
// to look at the payment.
func (a *App) report(ctx context.Context, before, after db.Payment, inputs []payment.Input, facts []payment.Fact) {
	if before.Attention == "" && after.Attention != "" {
		a.log.WarnContext(ctx, "payment needs a person", "status", after.State, "attention", after.Attention)
	}
	if len(facts) == 0 || settled(before) || !settled(after) {
		return
	}
	about := []any{"status", after.State, "cause", inputs[0], "event", facts[0],
		"amount", httpapi.FormatAmount(after.Amount, after.Currency), "currency", after.Currency}
	if reason := cmp.Or(after.DeclineCode, after.Reason); reason != "" {
		about = append(about, "reason", reason)
	}
	a.log.InfoContext(ctx, "payment settled", about...)
}

// settled reports whether the result of the charge is known.
func settled(row db.Payment) bool {
	state := payment.State(row.State)
	return state != payment.None && state != payment.Voiding
}
