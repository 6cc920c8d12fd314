package mutation

import (
	"eventshop.example/proof/shop"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/payment/payment"
)

// overtaking returns the mistakes about a compensation that comes before what it compensates. They exist
// because the two are on different topics.
func overtaking() []Mutation {
	return []Mutation{
		{
			Name: "reserved-after-the-release", Text: "inventory reserves for a ReserveInventory that comes after its ReleaseInventory", Finds: "I2",
			tables: inventories(func(s inventory.State, in inventory.Input) (inventory.Decision, bool) {
				return inventory.Decision{Action: inventory.Apply, Next: inventory.Reserved, Effect: inventory.Reserve},
					s == inventory.Cancelled && in == inventory.ReserveInventory
			}),
		},
		{
			Name: "charged-after-the-refund", Text: "payment says of a RefundPayment that comes first that nothing was taken, and then charges", Finds: "I1",
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Compensate, Next: payment.None, Emit: []payment.Fact{payment.PaymentVoided}},
					s == payment.None && in == payment.RefundPayment
			}),
		},
		{
			Name: "booked-after-the-cancellation", Text: "the carrier forgets a CancelShipment that comes before its ScheduleShipment", Finds: "I2",
			rules: shop.Rules{CancelOpens: true},
		},
		{
			Name: "void-not-reported", Text: "the saga ignores that its charge was stopped", Finds: "I3",
			tables: sagas(func(s orchestrator.State, in orchestrator.Input) (orchestrator.Decision, bool) {
				return orchestrator.Decision{Action: orchestrator.Duplicate, Next: s},
					s == orchestrator.Refunding && in == orchestrator.PaymentVoided
			}),
		},
	}
}
