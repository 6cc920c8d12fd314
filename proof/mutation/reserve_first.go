package mutation

import (
	"eventshop.example/proof/shop"
	"eventshop.example/services/orchestrator/orchestrator"
)

// reserveFirst returns the mistakes of the orchestrated style under definition 2, which reserves before it
// charges.
func reserveFirst() []Mutation {
	all := []Mutation{
		{
			Name: "release-forgotten", Text: "the saga closes the order when the card is declined, as under definition 1", Finds: "I2",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Closing, orchestrator.CancelOrder), s == orchestrator.Charging && in == orchestrator.PaymentFailed
			}),
		},
		{
			Name: "refunded-before-stopped", Text: "the saga returns the money before it stops the parcel", Finds: "I1",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return send(orchestrator.Refunding, orchestrator.RefundPayment),
					s == orchestrator.Scheduling && in == orchestrator.OrderCancellationRequested
			}),
		},
		{
			Name: "decided-under-the-other", Text: "a process that does not know definition 2 decides under definition 1", Finds: "I1",
			tables: func(t *shop.Tables) {
				t.Orchestrator = func(d orchestrator.Definition, s orchestrator.State, in orchestrator.Input) orchestrator.Decision {
					if s != orchestrator.None {
						d = orchestrator.Definitions()[0]
					}
					return orchestrator.Decide(d, s, in)
				}
			},
		},
		{
			Name: "old-alarm-on-the-way-back", Text: "the saga asks for a person when an old failure to refund comes again while it releases the goods", Finds: "I3",
			Bounds: shop.Bounds{Spent: 1, Duplicates: 1, Forgotten: 1},
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Refuse, Next: s, Attention: true},
					s == orchestrator.Releasing && in == orchestrator.PaymentRefundFailed
			}),
		},
	}
	for i := range all {
		all[i].Order = shop.Coordination{Style: shop.Orchestrated, Definition: 2}
	}
	return all
}
