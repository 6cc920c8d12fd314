// Package outbox is the transactional outbox: events are written in the
// business transaction and a relay publishes them to Kafka afterwards.
//
// # What it guarantees
//
//   - An event is published if and only if the transaction that appended it
//     committed (at least once, never lost).
//   - The first occurrences of the records of one topic and key reach Kafka in
//     the order of their sequence numbers, however many relays run at once, also
//     when one of them was frozen and continues, and also when the broker
//     refuses a record in the middle.
//   - No row is marked as published before the broker acknowledged it with
//     acks=all.
//   - A row whose transaction commits late, after higher sequence numbers were
//     published, is published as soon as it is visible and holds up nobody.
//
// # What it does not
//
// A record can be published more than once: after a crash between the
// acknowledgement and the mark, or while two relays believe to lead the same
// shard. Consumers need an inbox. Order between different keys or topics is not
// promised. Order within a key is the order in which sequence numbers were
// drawn, so transactions of one aggregate must exclude each other (row lock or
// expected version) before they append; the aggregates of this system do.
//
// # How it fails
//
// While the database or the broker is away or refuses, the relay retries with backoff,
// says why in Ready and in its metrics, holds a bounded number of rows in memory, and
// loses none. Nothing that either of them says ends Run: a table, a right, or a login
// may be missing for a moment.
//
// A record that the broker refuses holds back the later records of its topic and key
// (or of its topic, when the topic is the cause) and nothing else; it is tried again
// with backoff until it succeeds or an operator removes it. It shows in Describe and in
// eventshop_outbox_refusals_total, and the relay stays ready. A row that is no record,
// because its columns were damaged, is such a record. A topic that has refused records of
// several keys and taken none makes the relay not ready: Ready says which topic, why, for
// how long, and how many rows wait. When the topic takes a record again, the others follow
// within about a second.
//
// # What operators can do
//
// Hold stops the relays of the table and Release lets them go on. Republish has retained
// rows sent again after a broker lost its data: hold, make the topics again, republish,
// release, and the new topics have each key's events in their order. A relay follows a
// topic that was deleted and made again without a restart. Describe tells what there is.
//
// The pattern: Chris Richardson, "Microservices Patterns", transactional outbox
// and polling publisher. Each value that a record carries, except of raw
// headers, has a column of its own, so that Debezium's outbox event router sends
// the same bytes, key and headers from the same table.
// It can relay the events in place of the relay here, see Mode.
package outbox
