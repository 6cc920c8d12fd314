// Package notification decides which mail follows from the facts about one order, in whatever order
// they arrive. It is pure: it holds no connection, reads no clock, and the same history always leads
// to the same decisions.
//
// Two events state the same fact, that an order was placed, and the service reacts to one of them:
// to OrderPlaced, which has only the order's id, in the style [ByNotification], and to OrderCreated,
// which has the whole order, in the style [ByState]. The event of the other style is left out. The
// row remembers that. So when the style changes while an order is between its two events, the event
// that comes second leads to the mail, whatever the style is by then. An order gets exactly one mail.
//
// # Files
//
// The aggregates of all services have the same files: state.go ([State]), input.go ([Input]),
// decision.go ([Action], [Effect], [Decision]) and transitions.go ([Decide], the total table). Only
// this aggregate has style.go ([Style]: which input an event is) and mail.go ([Compose]: the text of
// the mail, from the order's data, whichever way these came).
package notification
