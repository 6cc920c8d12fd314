// Package ops is the client of the services' operator APIs: dead letters, parked keys,
// the outbox and the circuit breakers, of one process (Client) and of all (Fleet).
//
// It guarantees that every answer is either complete or an error. Replicas of a service
// share a database, so one of them is asked for all: while one lives, its group has an
// answer. What changes something is sent to a second replica only when the first
// cannot have heard it.
//
// It does not retry and keeps nothing. Errors are *Problem (the service refused: RFC
// 9457), *Unreachable (nobody answered) or of the context.
package ops
