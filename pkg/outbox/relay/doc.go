// Package relay publishes the rows of an outbox table to Kafka: the polling publisher of the
// transactional outbox. INTERNALS.md beside it shows how a row travels through the code.
//
// # What it guarantees
//
//   - A row whose transaction committed is published at least once.
//   - The first occurrences of the records of one topic and key reach Kafka in the order of their
//     sequence numbers. This is true for any number of relays at once, when a relay was frozen and
//     continues, and when the broker refuses a record in the middle.
//   - No row leaves the queue before the broker acknowledged it with acks=all, and a late
//     acknowledgement removes only what was sent.
//   - A row whose transaction commits late, after higher sequence numbers were published, is
//     published as soon as it is visible, and delays no other row.
//   - The cost per event, and of a read that finds nothing, grows neither with published rows nor
//     with those that wait, nor while a reader holds an old snapshot. Three things make a read visit
//     more until they end: a transaction that has appended and stays open, records that the broker
//     refuses, and the rows in memory.
//
// # What it does not
//
// A record can be published more than once: after a crash between the acknowledgement and the mark,
// or while two relays both act as the leader of a shard. Consumers need an inbox. The package does
// not promise an order between different keys or topics.
//
// # How it fails
//
// While the database or the broker is unavailable or refuses requests, the relay retries with
// backoff, reports the reason in [Relay.Ready] and its metrics, keeps a bounded number of rows in
// memory, and loses none. A missing table, a missing right and a wrong password are such refusals:
// they do not end [Relay.Run], and the relay continues when operators have corrected them.
//
// A record that the broker refuses delays the later records of its topic and key (or of its topic,
// when the topic is the cause) and nothing else. The relay tries it again with backoff until it
// succeeds or an operator removes it. It appears in [Relay.Refused] and in
// outbox_refusals_total, and the relay stays ready. A row with damaged columns, which
// cannot become a record, is treated the same. A topic that has refused records of several keys and
// accepted none makes the relay not ready: Ready reports which topic, why, for how long, and how
// many rows wait. When the topic accepts a record again, the others follow within about a second.
//
// During a hold (package admin) the relay sends nothing and is not ready. It follows a topic that
// was deleted and created again without a restart.
package relay
