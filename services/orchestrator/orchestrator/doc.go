// Package orchestrator decides what the coordinator of one order's saga does when an event, the
// answer to a command or a time limit arrives, in whatever order they arrive. It is pure: it holds
// no connection, reads no clock, and the same history always leads to the same decisions.
//
// A [Definition] lists the steps in their order. Each [Step] has a command, the answers to it, and
// a compensation. [Decide] reads nothing else about a step, so a saga that began under one
// definition ends under it, while new sagas take the next one.
//
// # Forward and back
//
// A saga goes forward while each command is answered as hoped, through the states of the steps in the
// definition's order ([Charging], [Reserving], [Scheduling], [Confirming]) to [Confirmed]. When a step
// fails, or the customer or the deadline cancels, it goes back: it compensates the steps whose commands
// were sent, the last one first ([Stopping], [Releasing], [Refunding]), and then closes the order
// ([Closing], [Cancelled]).
//
// A command without an answer has an unknown outcome. It counts as possibly done: its compensation
// is sent, and the participant decides between undoing the step and forbidding it. A time limit
// ([DuePassed]) never means that a step failed, and never sends a command again. It asks for a
// person. The customer's deadline belongs to the order service, which requests the cancellation.
//
// The dispatch of the parcel is the pivot ([Step.Pivot]). Only shipping knows whether a
// cancellation came before it, so the first compensation is always that of the shipment, if one was
// commanded.
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Decision]) and transitions.go ([Decide], the total table). Only
// this aggregate has definition.go ([Definition], [Step]). Its effects are the commands.
package orchestrator
