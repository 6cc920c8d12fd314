// Package order is the event-sourced aggregate. It defines what an order is, the domain events of
// its life, and the decision for each command and each event of another service.
//
// It guarantees that an [Order] depends only on its domain events ([Order.Fold]), that every pair
// of state and input has a decision ([Decide]), and that an order never leaves CANCELLED or
// DELIVERED. It does no I/O, reads no clock and does not depend on Kafka or HTTP; commands carry
// the times. It fails only with errors of package errs: Invalid for a command that breaks a rule,
// Internal for a stored event that it cannot read.
//
// The split into decide and apply follows the literature on functional event sourcing (Jérémie
// Chassaing's "decider"). [Order.Decide] turns a message into new events and changes nothing.
// [Order.Apply] changes the order and refuses nothing.
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Decision]) and transitions.go ([Decide], the total table). This
// aggregate has more files because it is event-sourced: events.go defines the domain events, upcast.go
// reads the forms in which earlier releases stored them, order.go defines the [Order] that they fold
// into, emit.go the events of a decision, and place.go the command that creates an order at once.
// draft.go has the commands of drafts and their rules, and draft_events.go the events of drafts.
//
// The file command.go ([AnswerTo], [Order.Answer]) says how a command of the orchestrated saga is answered
// that emits no event, and what the order does about a message whose saga has another style than the
// order's ([Order.Contradicted]). Aggregates that take commands have it.
package order
