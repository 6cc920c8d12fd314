// Package consumer turns records of Kafka topics into transactions of one service's database.
// INTERNALS.md beside it shows how a record travels through the code.
//
// # What it guarantees
//
//   - At-least-once delivery and exactly-once effect per (consumer group, event id). The inbox row,
//     the handler's writes and the outbox rows that the handler appends commit together or not at
//     all. Offsets are committed only after that.
//     With [Config.Positions] the memory is a position per partition instead, with exactly-once
//     effect per (consumer group, record). A model then recognises an event that lies in Kafka more
//     than once. The position decides, not the group's offset in Kafka: after a restore of the
//     database the records behind the restored position are read again.
//   - Order per key, whatever fails. A record whose handling fails by its own fault goes to its
//     group's retry topic, and its key is parked. Later records of that key follow it in order, and
//     records of other keys go on (package retry stores them). Where something is down
//     (errs.Transient: the database, the registry, an open circuit breaker) the whole partition
//     pauses and is tried again with backoff, without limit. All other partitions go on.
//   - The registry's faults never count against a record. A record whose schema id the registry
//     does not know waits, with its partition, for the codec's grace period (see
//     schema.Codec.Decode). All such fetched records wait at the same time. The consumer makes no
//     call while an event type that the record's subscription emits cannot be encoded.
//   - A record that no repetition can help (undecodable bytes, a violated rule), and a record whose
//     attempts are spent, becomes a dead letter. Dead letters and retry records are written through
//     the outbox in the same transaction as the inbox row. A crash therefore loses none, and a
//     redelivery duplicates none.
//   - The environment's faults never count against a record. A statement that the database refuses
//     spends an attempt only if a harmless write to the same tables works ([postgres.Probe]).
//     Otherwise the partition waits, Ready and the metrics show it, and the partition goes on by
//     itself.
//   - A failure is always stored. A record whose bytes no table accepts becomes a dead letter
//     without them. Where even that cannot be stored, the partition waits, and the reason names the
//     record's place, until an operator has the record skipped ([retry.Store.Skip]).
//   - Advisory metadata never makes a record fail. Of a record's metadata, only what identity and
//     order need (id, type, subject, version) decides. Wrong tracing, correlation, time or source
//     is counted and replaced ([event.ReadEnvelope]). A record with a wrong identity parks its key
//     if its bytes are an event of that key.
//   - An event that the subscription table does not list is counted as ignored, and one whose saga has
//     the other style ([Subscription.Of]) as of the other style. None is dropped without a trace.
//
// # What it does not guarantee
//
//   - No exactly-once calls: a call made before the transaction (see [OnCall]) is repeated after a
//     crash. The call therefore carries an idempotency key.
//   - With positions: a partition that loses the end of its log under the same topic id is not
//     noticed. The records that take the lost offsets count as handled. While processes that store
//     receipts run beside processes that store positions, a record may be handed to the model twice.
//   - No order across topics or partitions. Handlers of one batch run in the order of their
//     partitions, but nothing may depend on it.
//
// # How it fails
//
// Run returns an error only for a configuration that can never work. While a broker, the registry
// or the database is down, Ready reports it and the loop waits. When a broker refuses commits of
// offsets for five seconds, Ready reports it. Records are handled all the same, and are read again
// after a restart.
//
// # How a batch is made
//
// One goroutine handles new records: poll, decode, one transaction, mark. A second goroutine, with a
// consumer group of its own, handles the retry topics, so that neither waits for the other. Calls to
// the outside run in goroutines of their own, ahead of the transactions: a slow call makes its own
// partition wait, and no other.
// The records that a poll returns are handled as one batch across partitions. At low load the batch
// is one record and costs one commit. At high load the same loop shares a commit among hundreds of
// records. The loop never waits for a batch to fill.
//
// The number of statements of a transaction does not depend on the number of its records: all states
// are loaded, all records decide, and everything is saved. A batch becomes smaller where its
// transaction takes longer than about 100 ms, because the transaction holds the locks of all its keys.
// A decision that fails by its record's fault costs nothing but the writes about the failure. A write
// that fails is narrowed down by halving, so that a bad record costs about log2(n) transactions and
// undoes no other record.
package consumer
