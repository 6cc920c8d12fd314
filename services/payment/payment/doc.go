// Package payment decides what the payment of one order does when an event, an answer of the card
// gateway or a command arrives, in whatever order they arrive. It is pure: it holds no connection,
// reads no clock, and the same history always leads to the same decisions.
//
// It guarantees three things. First, when a saga is compensated, money that is or may be taken has
// its own state ([Voiding], [Refunding], [RefundFailed]) until the gateway has answered. Second, a
// capture is emitted once as PaymentCompleted and its refund once as PaymentRefunded. Third, a
// compensated saga takes no more charges: the row is a tombstone.
//
// This package cannot decide whether an unanswered charge took money. Only the gateway can, so the
// worker voids the key. The gateway answers "voided" (nothing was taken and nothing will be),
// "declined" or "captured" (the worker then refunds it).
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Fact], [Decision]) and transitions.go ([Decide], the total
// table). Only this aggregate has [State.Returning], which selects the payments that the worker
// works on, and the field Attention of [Decision].
//
// The file command.go ([AnswerTo]) says how a command of the orchestrated saga is answered that emits no
// event. Aggregates that take commands have it.
package payment
