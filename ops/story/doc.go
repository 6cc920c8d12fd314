// Package story collects the history of one order: its events on all topics, the cause of each, the
// state of its money, goods and parcel, the records that failed, and what the order waits for now.
//
// # Where the events come from
//
// The topics are the source. They contain everything that the services have published, including
// copies and foreign records, and every stack has them: embedded, Apache Kafka, compose and an
// external cluster. An order's records are on the partition of their key. Only that partition is
// read, from the time in the order's id (UUIDv7) less a margin, so that the length of a topic's
// past does not matter. A history with a gap (no OrderCreated, or a cause that is missing) is read
// again from the start of the partition, because clocks may differ by more than the margin. A topic
// that has grown has moved keys, so for every partition count from the declared one to the present
// one the key's partition is read.
//
// An event that is not on a topic yet is in an outbox. The order's unpublished rows are read from
// each service's database, by the index of unpublished rows. If Kafka does not answer, the outboxes
// replace it, with the published rows that they still have.
//
// Any producer can write records with an order's key. A record counts as an event of the order if
// its value can be decoded and names the order, or if an outbox has it. Headers are not enough: a
// record that only claims in its headers that the order is delivered is shown, and the order still
// waits.
//
// The rest comes from the services' APIs, the gateway's ledger and the operator listeners. These
// requests are not operations of the gateway or the carrier, so they do not count against planted
// faults.
//
// # What it guarantees
//
// An effect never precedes its cause, and an event never precedes an earlier version of the same
// aggregate. Otherwise events are in the order of time. [Story.Missing] names each source that does
// not answer; the story has the parts of the others. Texts are unchanged: the caller makes control
// characters harmless when it prints them.
//
// # What it does not
//
// A story is not a snapshot: the system moves while it is read. The services are asked first, then
// the outboxes, then the topics. So the story has each event behind a service's answer, and may
// have later ones.
package story
