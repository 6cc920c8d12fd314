// Package reaction is the one shape of everything that changes a service's state: load, decide,
// save. A record of a topic, a retry, a line of a feed, a deadline, a worker's attempt and an HTTP
// command are all a [Step]: an input for the state of one key.
//
//   - Load takes a set of steps and locks the rows that their decisions need, in key order. It
//     first creates missing rows, in key order too, because a row that does not exist cannot be
//     locked. A load may have stages: first the rows of the keys, then the rows that these refer
//     to.
//   - Decide is pure. It takes a state and a step and returns a [Decision]: the new state and the
//     events to publish. It does no I/O and reads no clock; the step carries the time.
//   - Save writes the decisions: one statement per table, then one for the outbox. In a transaction of
//     postgres.InPipeline the statements may wait for COMMIT (postgres.Later), so that saving costs no
//     round trip.
//
// # What it guarantees
//
// In every service locks come before decisions and the outbox comes last, because no reaction can
// use another order. The sequence numbers of one key therefore follow its versions. A decision that
// fails or panics discards only its own new state and events; the decisions of other steps in the
// set stand. Encoding an event is part of deciding: an event that cannot be encoded fails its own
// step. A step sees what the steps before it in the set have decided.
//
// # What it does not guarantee
//
// It opens and commits no transaction. The caller does, and calls Decision.Committed after the
// commit. It does not distinguish duplicates from new inputs; the inbox and the states themselves
// do. When Save fails, the transaction has to be rolled back, and nothing of the set takes effect.
//
// # How it fails
//
// An error of Load or Save is the database's, classified by package postgres. The error of a statement
// that waited comes from the commit. An error of Decide is the step's own. Its kind (package errs)
// decides the outcome of the record.
package reaction
