// Package shipping decides what the shipment of one order does when an event, an answer of the
// carrier or a tracking update arrives, in whatever order they arrive. It is pure: it holds no
// connection, reads no clock, and the same history always leads to the same decisions.
//
// A shipment needs two facts from different topics: the address (OrderCreated) and the goods
// (InventoryReserved). The second one to arrive leads to the call to the carrier. A cancellation
// may arrive before both. It then leaves a tombstone, the state [Cancelled], here and at the
// carrier, and both refuse the late step.
//
// Dispatch is the pivot of the saga. Before the dispatch a cancellation succeeds; after it the
// shipment continues. Only the carrier decides which came first. The table requests the call by an
// [Effect] and takes the carrier's answer as a further [Input].
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Fact], [Decision]) and transitions.go ([Decide], the total
// table). Only this aggregate has [EmitDispatchOnce] and [DropRejection]. They remove facts from a
// decision that the service has emitted before, which the state does not show.
//
// The file command.go ([AnswerTo]) says how a command of the orchestrated saga is answered that emits no
// event. Aggregates that take commands have it.
package shipping
