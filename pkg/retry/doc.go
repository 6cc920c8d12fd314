// Package retry stores the records whose handling failed: records that will be tried again, records
// that wait behind them, and records that were given up.
//
// # What it guarantees
//
//   - A failing record leaves its topic without being lost. Its outcome (a retry record, a dead
//     letter) is written in the transaction that inserts its inbox row. The part that goes to Kafka
//     goes through the outbox.
//   - Nothing overtakes the record within its key. The key is parked: a row in parked_keys names
//     the one record that may go on, its head. Later records of that key wait in parked_records in
//     order of arrival. Other keys are not affected.
//   - One effect, however often a retry record is delivered, resubmitted or copied. A retry record
//     counts only while the parked key's head is its id, and its effect moves the head in the same
//     transaction (a fencing token, as in Kleppmann, "Designing Data-Intensive Applications",
//     chapter 8).
//   - Only its dead letter decides about a record that was given up. When the record is read again,
//     however long after, it is not handled, even if the inbox has forgotten it.
//   - Whatever a foreign producer sends fits. Keys of more than 512 bytes are represented by their
//     hash in every index ([KeyOf]), times outside the calendar are moved to its ends, and texts
//     are cut. The original key, value and headers are stored as bytes.
//   - A key whose head was given up stays parked until an operator resubmits or discards the dead
//     letter. Then it goes on in order.
//
// # What it does not guarantee
//
// Order is kept per topic and key, as in Kafka itself. A record that is no event of its key (bytes
// without an envelope, a key that is not the event's) never had a place in that order. It becomes a
// dead letter and parks nothing, so that a foreign producer cannot stop a key by sending
// undecodable records with its key. A record whose bytes are an event of its key, but with a wrong
// id, type, subject or version, does park the key.
//
// # How it fails
//
// All functions work inside the caller's transaction or open one of their own. Errors are
// classified by package postgres. A retry record that the broker lost leaves its key parked and
// overdue, which Stats reports. Publishing the outbox again restores it.
//
// The patterns are the dead letter channel and invalid message channel of Hohpe & Woolf,
// "Enterprise Integration Patterns", and retry topics as Uber Engineering described them in
// "Building Reliable Reprocessing and Dead Letter Queues with Apache Kafka" (2018). Those topics
// lose the order of records; the parked keys restore it.
package retry
