// Package retry keeps the records whose handling failed: the ones that will be tried
// again, the ones that wait behind them, and the ones that were given up.
//
// # What it guarantees
//
//   - A failing record leaves its topic without being lost: what becomes of it (a retry
//     record, a dead letter) is written in the transaction that holds its inbox row, the
//     part that goes to Kafka through the outbox.
//   - Nothing overtakes it within its key. The key is parked: a row in parked_keys names
//     the one record that may go on, its head, and whatever of that key arrives later
//     waits in parked_records in order of arrival. Other keys are not touched.
//   - One effect, however often a retry record is delivered, resubmitted or copied: it
//     counts only while the parked key's head bears its id, and its effect moves the head
//     in the same transaction (a fencing token, as in Kleppmann, "Designing
//     Data-Intensive Applications", chapter 8).
//   - A record that was given up is decided about by its dead letter alone: when it comes
//     again, however long after, it is not handled, whatever the inbox has forgotten.
//   - Whatever a stranger sends fits: keys of more than 512 bytes are known by their hash
//     in every index (KeyOf), times outside the calendar are moved to its ends, texts are
//     cut, and the original key, value and headers are kept as bytes.
//   - A key whose head was given up stays parked until a person resubmits or discards
//     the dead letter, and then goes on in order.
//
// # What it does not
//
// Order is kept per topic and key, as Kafka itself does. A record that is no event of
// its key (bytes without an envelope, a key that is not the event's) never had a place in
// that order: it becomes a dead letter and parks nothing, so that a stranger cannot stop
// an order by sending rubbish in its name. One whose bytes are an event of its key, with a
// wrong id, type, subject or version, does park it.
//
// # How it fails
//
// All functions work inside the caller's transaction or make one of their own; errors
// are classified by package postgres. A retry record lost by the broker leaves its key
// parked and overdue, which Stats shows; publishing the outbox again brings it back.
//
// The patterns: dead letter channel and invalid message channel of Hohpe & Woolf,
// "Enterprise Integration Patterns"; retry topics as Uber Engineering described them in
// "Building Reliable Reprocessing and Dead Letter Queues with Apache Kafka" (2018), to
// which the parked keys add the order those topics lose.
package retry
