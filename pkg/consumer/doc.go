// Package consumer turns records of Kafka topics into transactions of one
// service's database.
//
// # What it guarantees
//
//   - At-least-once delivery and exactly-once effect per (consumer group, event
//     id): the inbox row, the handler's writes and the outbox rows it appends
//     commit together or not at all, and offsets are committed only after that.
//   - Order per partition, hence per key: nothing overtakes a record whose
//     handler failed. Its partition pauses and is tried again with backoff while
//     all other partitions go on.
//   - A record that can never be understood (no event at all, unknown schema,
//     undecodable bytes, an event on a topic it does not belong to) becomes a
//     dead letter, written through the outbox in the same transaction as the
//     inbox row, so a crash loses none and a redelivery doubles none.
//   - An event the subscription table does not list is counted as ignored; it is
//     never dropped without a trace.
//
// # What it does not
//
//   - No exactly-once delivery: a call made before the transaction (see OnCall)
//     is repeated after a crash, which is why it carries an idempotency key.
//   - No order across topics or partitions. Handlers of one batch run in the
//     order of their partitions, but nothing may depend on it.
//
// # How it fails
//
// Run returns an error only for a configuration that can never work. A broker,
// a registry or a database that is down makes Ready say so and the loop wait.
//
// # How a batch comes about
//
// One goroutine does it all: poll, decode, call, one transaction, mark. What a
// poll brings is handled as one batch across partitions, because at low load the
// batch is one record and costs one commit, and at high load the same loop
// shares a commit among hundreds; it never waits to fill. When a record of the
// batch fails, the transaction is rolled back and run again without that
// record's partition from there on. That costs one repeated transaction per
// failing partition, paid only when something fails; savepoints would cost two
// round trips per record always.
package consumer
