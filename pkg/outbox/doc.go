// Package outbox is the transactional outbox: a service writes an event to a table in the
// transaction of the change that it reports, and a relay publishes it to Kafka afterwards. This
// package has the table and [Outbox.Append]. It needs no Kafka client.
//
// What is where:
//
//   - outbox: [Outbox.Append] and [Outbox.AppendRaw], the migrations ([Component]), and the upkeep
//     of the daily partitions ([Outbox.Upkeep]).
//   - outbox/internal/queue: what the others need to read outbox_queue.
//   - outbox/relay: the polling relay, which publishes the rows.
//   - outbox/capture: relaying by the database's log with Debezium instead.
//   - outbox/admin: operators' work: stop the relays, publish rows again, describe the table.
//
// # What it guarantees
//
//   - A row exists if and only if the transaction that appended it committed.
//   - The events of one call keep their order, which is the order of their sequence numbers.
//   - Append refuses an event that no consumer would accept, and never stores it.
//   - Upkeep never drops an unpublished row, whatever its age.
//   - A row is unpublished exactly while it has an entry in the table outbox_queue. The view
//     outbox_history shows when each row was published.
//
// # What it does not
//
// The order of events is the order in which their sequence numbers were drawn. Transactions of one
// aggregate must therefore exclude each other, by a row lock or an expected version, before they
// append. The package does not promise an order between keys or topics.
//
// A row can be published more than once, see package relay, so consumers need an inbox.
//
// # How it fails
//
// Append returns an error and the caller rolls back. An event that is too large or of an unknown
// type is [errs.Hopeless]. A failing database, and a schema that cannot be registered within half a
// second, are [errs.Transient]; [Outbox.CanAppend] reports the latter beforehand.
//
// Each value that an event's record carries has a column of its own. Debezium's outbox event router
// can therefore send the same bytes, key and headers from the same table. The headers of raw
// records are a list, so the polling relay publishes raw records in any case.
//
// The pattern: Chris Richardson, "Microservices Patterns", transactional outbox and polling
// publisher.
package outbox
