// Package inventory decides what the reservation of one order does when an event arrives, in
// whatever order the events arrive. It is pure: it holds no connection, reads no clock, and the
// same history always leads to the same decisions.
//
// A reservation needs two facts from different topics: the items (OrderCreated) and the payment
// (PaymentCompleted). Either can arrive first. A compensation can even arrive before both. It then
// leaves a tombstone, the state [Cancelled], which refuses the late steps.
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Decision]) and transitions.go ([Decide], the total table). Only
// this aggregate has allocate.go ([Allocate], [Merge]), which decides what an order can reserve of
// the stock. Its [Decision] lists no facts.
//
// The file command.go ([AnswerTo]) says how a command of the orchestrated saga is answered that emits no
// event. Aggregates that take commands have it.
package inventory
