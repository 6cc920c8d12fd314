// Package mutation lists mistakes that the services' tables and the code around them do not have.
// Each is put in the place of the real thing at the seam of package shop, and package check has to
// find it. So the list shows what a proof over the real tables would have noticed.
package mutation

import (
	"slices"

	"eventshop.example/proof/check"
	"eventshop.example/proof/shop"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// Mutation is one mistake, and the smallest bounds that it shows in.
type Mutation struct {
	Name   string // in one word with hyphens
	Text   string // what is wrong, in one line
	Bounds shop.Bounds
	Order  shop.Coordination
	// Finds is the invariant that the shortest run violates.
	Finds string

	tables func(*shop.Tables)
	rules  shop.Rules
}

// Model returns the shop with the mistake.
func (m Mutation) Model() *shop.Model {
	tables := shop.Real()
	if m.tables != nil {
		m.tables(&tables)
	}
	return shop.New(tables, m.rules)
}

// List returns all mutations: those of the choreographed style, first of the tables, then of the code
// around them, and those of the orchestrated style, by definition.
func List() []Mutation {
	return slices.Concat(money(), parcels(), orders(), around(), orchestrated())
}

// payments replaces cells of payment's table.
func payments(cell func(s payment.State, in payment.Input) (payment.Decision, bool)) func(*shop.Tables) {
	return func(t *shop.Tables) { t.Payment = replaced(t.Payment, cell) }
}

func inventories(cell func(s inventory.State, in inventory.Input) (inventory.Decision, bool)) func(*shop.Tables) {
	return func(t *shop.Tables) { t.Inventory = replaced(t.Inventory, cell) }
}

func shipments(cell func(s shipping.State, in shipping.Input) (shipping.Decision, bool)) func(*shop.Tables) {
	return func(t *shop.Tables) { t.Shipping = replaced(t.Shipping, cell) }
}

// replaced returns a table that asks cell first.
func replaced[S, I, D any](real func(S, I) D, cell func(S, I) (D, bool)) func(S, I) D {
	return func(s S, in I) D {
		if d, wrong := cell(s, in); wrong {
			return d
		}
		return real(s, in)
	}
}

func money() []Mutation {
	return []Mutation{
		{
			Name: "refund-twice", Text: "payment starts a second refund when a refunded order is cancelled", Finds: "I1",
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Compensate, Next: payment.Refunding}, s == payment.Refunded && in == payment.ShipmentCancelled
			}),
		},
		{
			Name: "void-not-asked", Text: "payment says that nothing was taken without a void at the gateway", Finds: "I1",
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Compensate, Next: payment.Voided, Emit: []payment.Fact{payment.PaymentVoided}},
					s == payment.None && in == payment.ShipmentCancelled
			}),
		},
		{
			Name: "compensation-ignored", Text: "payment keeps the money when the goods are out of stock", Finds: "I3",
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Duplicate, Next: s}, s == payment.Completed && in == payment.InventoryReservationFailed
			}),
		},
		{
			Name: "refund-forgotten", Text: "payment does not notice that a refund was made", Finds: check.NoEnd,
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Apply, Next: payment.Refunding}, s == payment.Refunding && in == payment.RefundMade
			}),
		},
		{
			Name: "alarm-without-cause", Text: "payment asks for a person when an order is cancelled before its charge", Finds: "I3",
			tables: payments(func(s payment.State, in payment.Input) (payment.Decision, bool) {
				return payment.Decision{Action: payment.Compensate, Next: payment.Voiding, Attention: true}, s == payment.None && in == payment.ShipmentCancelled
			}),
		},
	}
}

func parcels() []Mutation {
	return []Mutation{
		{
			Name: "no-tombstone", Text: "inventory ignores a cancellation that comes before the order", Finds: "I2",
			tables: inventories(func(s inventory.State, in inventory.Input) (inventory.Decision, bool) {
				return inventory.Decision{Action: inventory.Refuse, Next: s}, s == inventory.None && in == inventory.ShipmentCancelled
			}),
		},
		{
			Name: "released-twice", Text: "inventory releases the goods again when a cancellation is repeated", Finds: "I2",
			tables: inventories(func(s inventory.State, in inventory.Input) (inventory.Decision, bool) {
				return inventory.Decision{Action: inventory.Compensate, Next: s, Effect: inventory.Release}, s == inventory.Released && in == inventory.ShipmentCancelled
			}),
			Bounds: shop.Bounds{Duplicates: 1, Forgotten: 1},
		},
		{
			Name: "reserved-twice", Text: "inventory applies a repeated payment", Finds: "I2",
			tables: inventories(func(s inventory.State, in inventory.Input) (inventory.Decision, bool) {
				return inventory.Decision{Action: inventory.Apply, Next: s, Effect: inventory.Reserve}, s == inventory.Reserved && in == inventory.PaymentCompleted
			}),
			Bounds: shop.Bounds{Duplicates: 1, Forgotten: 1},
		},
		{
			Name: "release-after-dispatch", Text: "inventory counts the goods of a parcel that has left as available", Finds: "I2",
			tables: inventories(func(s inventory.State, in inventory.Input) (inventory.Decision, bool) {
				return inventory.Decision{Action: inventory.Compensate, Next: inventory.Released, Effect: inventory.Release},
					s == inventory.Reserved && in == inventory.ShipmentDispatched
			}),
		},
		{
			Name: "cancel-wins-after-dispatch", Text: "shipping takes the carrier's \"too late\" for a cancellation", Finds: "I2",
			tables: shipments(func(s shipping.State, in shipping.Input) (shipping.Decision, bool) {
				return shipping.Decision{Action: shipping.Compensate, Next: shipping.Cancelled, Emit: []shipping.Fact{shipping.ShipmentCancelled}},
					s == shipping.Scheduled && in == shipping.CarrierDeparted
			}),
		},
		{
			Name: "carrier-not-asked", Text: "shipping cancels an order that it has not scheduled without the carrier", Finds: "I2",
			tables: shipments(func(s shipping.State, in shipping.Input) (shipping.Decision, bool) {
				return shipping.Decision{Action: shipping.Compensate, Next: shipping.Cancelled, Emit: []shipping.Fact{shipping.ShipmentCancelled}},
					s == shipping.AwaitingReservation && in == shipping.OrderCancellationRequested
			}),
		},
	}
}

func orders() []Mutation {
	on := func(s order.State, in order.Input, wrong func(order.Order) order.Decision) func(*shop.Tables) {
		return func(t *shop.Tables) {
			real := t.Order
			t.Order = func(o order.Order, m order.Message) order.Decision {
				if o.State == s && m.Input == in {
					return wrong(o)
				}
				return real(o, m)
			}
		}
	}
	ignore := func(order.Order) order.Decision { return order.Decision{Action: order.Refuse} }
	return []Mutation{
		{
			Name: "payment-failed-ignored", Text: "the order ignores PaymentFailed", Finds: "I3",
			tables: on(order.Pending, order.PaymentFailed, ignore),
		},
		{
			Name: "dispatch-ignored", Text: "a cancelling order ignores that its parcel has left and has arrived", Finds: "I3",
			tables: func(t *shop.Tables) {
				on(order.Cancelling, order.ShipmentDispatched, ignore)(t)
				on(order.Cancelling, order.ShipmentDelivered, ignore)(t)
			},
		},
		{
			Name: "ends-before-the-money", Text: "the order is cancelled as soon as the goods are out of stock", Finds: "I1",
			tables: on(order.Pending, order.InventoryReservationFailed, func(order.Order) order.Decision {
				return order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{order.OrderCancelled{Reason: order.ReasonOutOfStock}}}
			}),
		},
		{
			Name: "ends-twice", Text: "a cancelled order is cancelled again when it receives the failure that caused the refund", Finds: "I3",
			tables: on(order.Cancelled, order.ShipmentFailed, func(order.Order) order.Decision {
				return order.Decision{Action: order.Apply, Effect: order.Cancel, Emit: []order.Event{order.OrderCancelled{Reason: order.ReasonShipmentFailed}}}
			}),
		},
	}
}

func around() []Mutation {
	return []Mutation{
		{
			Name: "lost-answer-declines", Text: "payment takes a charge without an answer for a declined one", Finds: "I1",
			rules: shop.Rules{LostChargeDeclines: true}, Bounds: shop.Bounds{Lost: 1},
		},
		{
			Name: "capture-after-void", Text: "the gateway takes money with a key that was voided", Finds: "I1",
			rules: shop.Rules{VoidOpens: true},
		},
		{
			Name: "refund-key-per-attempt", Text: "each attempt to refund has a key of its own", Finds: "I1",
			rules: shop.Rules{RefundKeyPerAttempt: true}, Bounds: shop.Bounds{Lost: 1},
		},
		{
			Name: "parcel-after-cancel", Text: "the carrier forgets the cancellation of a parcel that it does not know", Finds: "I2",
			rules: shop.Rules{CancelOpens: true},
		},
		{
			Name: "not-subscribed", Text: "inventory does not receive ShipmentCancelled", Finds: "I2",
			rules: shop.Rules{Unsubscribed: "inventory ShipmentCancelled"},
		},
	}
}
