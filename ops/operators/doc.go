// Package operators is the client of the services' operator APIs: dead letters, parked keys, the
// outbox and the circuit breakers. [Client] calls one process, [Fleet] all of them.
//
// Every answer is either complete or an error. Replicas of a service share a database, so one of
// them answers for all: a group can answer while at least one of its processes runs. A change is
// sent to a second replica only if the first cannot have received it.
//
// The package does not retry and stores nothing. Errors are *[jsonhttp.Problem] (the service refused:
// RFC 9457), *[jsonhttp.Unreachable] (no answer), or the context's error.
package operators
