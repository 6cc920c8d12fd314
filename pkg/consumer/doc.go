// Package consumer turns records of Kafka topics into transactions of one
// service's database.
//
// # What it guarantees
//
//   - At-least-once delivery and exactly-once effect per (consumer group, event
//     id): the inbox row, the handler's writes and the outbox rows it appends
//     commit together or not at all, and offsets are committed only after that.
//   - Order per key, whatever fails. A record whose handling fails by its own fault
//     goes to its group's retry topic, and its key is parked: later records of that key
//     follow it in order, those of other keys go on (package retry keeps them). Where
//     something is down (errs.Transient: the database, the registry, a breaker that is
//     open) the whole partition pauses and is tried again with backoff, without limit,
//     while all other partitions go on.
//   - No record is blamed for the registry. One whose schema id it does not know waits,
//     with its partition, for the codec's grace period (see schema.Codec.Decode), and all
//     such records in hand wait at the same time. No call is made while an event type that
//     its subscription emits cannot be encoded.
//   - A record that no repetition can help (undecodable bytes, a violated rule), and
//     one whose attempts are spent, becomes a dead letter. It and the retries are
//     written through the outbox in the same transaction as the inbox row, so a crash
//     loses none and a redelivery doubles none.
//   - The environment is never the record's fault. What the database refuses spends an
//     attempt only if a harmless write to the same tables works ([postgres.Probe]); else
//     the partition waits, Ready and the metrics show it, and it goes on by itself.
//   - The books of a failure are always kept. A record whose bytes no table takes becomes
//     a dead letter without them; where not even that is stored, the partition waits with
//     the record's place in the reason, until an operator has it skipped ([retry.Store.Skip]).
//   - Advice does not condemn. Of a record's metadata only what identity and order need
//     (id, type, subject, version) decides; wrong tracing, correlation, time or source is
//     counted and replaced ([events.ReadEnvelope]). A record whose identity is wrong parks
//     its key if its bytes are an event of that key.
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
// a registry or a database that is down makes Ready say so and the loop wait. A broker that
// refuses commits of offsets for five seconds makes Ready say so; records are handled all the
// same, and read again after a restart.
//
// # How a batch comes about
//
// One goroutine does all of it for new records, and a second with a consumer group of
// its own for the retry topics, so that neither waits for the other: poll, decode, call,
// one transaction, mark. What a poll brings is handled as one batch across partitions,
// because at low load the batch is one record and costs one commit, and at high load
// the same loop shares a commit among hundreds; it never waits to fill. When a record of the
// batch fails, the transaction is rolled back and made again with a savepoint before
// every six handlers, so that only the failing record is undone; the batches after it are
// small and have savepoints from the start, until one has no failure. That is a round trip
// for every three records while something fails, and nothing otherwise. A
// transaction that fails though no handler did (at its commit, or where failures are
// written down) is halved until the record to blame is alone.
package consumer
