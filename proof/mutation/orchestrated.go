package mutation

import (
	"slices"

	"eventshop.example/proof/shop"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/payment/payment"
)

// sagas replaces cells of the orchestrator's table.
func sagas(cell func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool)) func(*shop.Tables) {
	return func(t *shop.Tables) {
		real := t.Orchestrator
		t.Orchestrator = func(d orchestrator.Definition, s orchestrator.State, in orchestrator.Input) orchestrator.Decision {
			return replaced(func(s orchestrator.State, in orchestrator.Input) orchestrator.Decision { return real(d, s, in) }, cell)(s, in)
		}
	}
}

// orchestrated returns the mistakes of the orchestrated style.
func orchestrated() []Mutation {
	all := slices.Concat(steps(), answers(), overtaking())
	for i := range all {
		all[i].Order.Style = shop.Orchestrated
	}
	return append(all, reserveFirst()...)
}

// send is the decision for a command and the state in which its answer is awaited.
func send(next orchestrator.State, command orchestrator.Effect) orchestrator.Decision {
	return orchestrator.Decision{Action: orchestrator.Apply, Next: next, Effect: command}
}

// steps returns the mistakes in what follows what.
func steps() []Mutation {
	return []Mutation{
		{
			Name: "unanswered-is-undone", Text: "the saga does not compensate a charge without an answer", Finds: "I1",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Closing, orchestrator.CancelOrder),
					s == orchestrator.Charging && in == orchestrator.OrderCancellationRequested
			}),
		},
		{
			Name: "closed-before-the-refund", Text: "the saga cancels the order first and then returns the money", Finds: "I1",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				switch {
				case s == orchestrator.Reserving && in == orchestrator.InventoryReservationFailed:
					return send(orchestrator.Closing, orchestrator.CancelOrder), true
				case s == orchestrator.Closing && in == orchestrator.OrderCancelled:
					return send(orchestrator.Refunding, orchestrator.RefundPayment), true
				}
				return orchestrator.Decision{}, false
			}),
		},
		{
			Name: "parcel-not-stopped-first", Text: "the saga releases the goods before it stops the parcel", Finds: "I2",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Releasing, orchestrator.ReleaseInventory),
					s == orchestrator.Scheduling && in == orchestrator.OrderCancellationRequested
			}),
		},
		{
			Name: "failed-step-goes-on", Text: "the saga ignores that the goods are out of stock", Finds: "I3",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Duplicate, Next: s},
					s == orchestrator.Reserving && in == orchestrator.InventoryReservationFailed
			}),
		},
		{
			Name: "late-request-ignored", Text: "the saga ignores a request to cancel that it receives after the dispatch", Finds: "I3",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Duplicate, Next: s},
					(s == orchestrator.Shipped || s == orchestrator.Delivered) && in == orchestrator.OrderCancellationRequested
			}),
		},
		{
			Name: "confirmation-is-an-alarm", Text: "the saga asks for a person when the order has confirmed itself", Finds: "I3",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Refuse, Next: s, Attention: true},
					s == orchestrator.Scheduling && in == orchestrator.OrderConfirmed
			}),
		},
		{
			Name: "both-styles-at-once", Text: "shipping cancels the parcel of an orchestrated order when the customer asks", Finds: "I3",
			rules: shop.Rules{BothStyles: "shipping OrderCancellationRequested"},
		},
		{
			Name: "dispatch-not-received", Text: "inventory does not receive the dispatch of an orchestrated order", Finds: "I2",
			rules: shop.Rules{Unsubscribed: "inventory ShipmentDispatched"},
		},
	}
}

// answers returns the mistakes about answers that are old, or late.
func answers() []Mutation {
	return []Mutation{
		{
			Name: "refused-is-done", Text: "the saga takes a charge that is refused for one that is done", Finds: "I3",
			Bounds: shop.Bounds{Retries: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Reserving, orchestrator.ReserveInventory), in == orchestrator.Refused(orchestrator.ChargePayment)
			}),
		},
		{
			Name: "stale-answer-counts", Text: "the saga takes the answer to a command that was sent again for that of the next one", Finds: "I3",
			Bounds: shop.Bounds{Retries: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Scheduling, orchestrator.ScheduleShipment),
					s == orchestrator.Reserving && in == orchestrator.Unchanged(orchestrator.ChargePayment)
			}),
		},
		{
			Name: "late-is-failed", Text: "the saga takes a charge that is late for one that failed", Finds: "I1",
			Bounds: shop.Bounds{Late: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Closing, orchestrator.CancelOrder), s == orchestrator.Charging && in == orchestrator.DuePassed
			}),
		},
		{
			Name: "late-is-sent-again", Text: "the saga sends the command again when its time limit passes", Finds: "I3",
			Bounds: shop.Bounds{Late: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(s, orchestrator.ChargePayment), s == orchestrator.Charging && in == orchestrator.DuePassed
			}),
		},
		{
			Name: "charge-key-per-command", Text: "payment charges again for each command, with a key of its own", Finds: "I1",
			Bounds: shop.Bounds{Retries: 1}, rules: shop.Rules{ChargeKeyPerCommand: true},
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Apply, Next: s, Effect: payment.Charge}, s == payment.Completed && in == payment.ChargePayment
			}),
		},
		{
			Name: "refund-not-reported", Text: "the saga ignores that the money was returned", Finds: "I3",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Duplicate, Next: s},
					s == orchestrator.Refunding && in == orchestrator.PaymentRefunded
			}),
		},
		{
			Name: "old-alarm-rings", Text: "the saga asks for a person when an old failure to refund comes again after the refund", Finds: "I3",
			Bounds: shop.Bounds{Spent: 1, Duplicates: 1, Forgotten: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Refuse, Next: s, Attention: true},
					s == orchestrator.Cancelled && in == orchestrator.PaymentRefundFailed
			}),
		},
	}
}
