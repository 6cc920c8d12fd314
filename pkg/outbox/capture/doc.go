// Package capture supports an outbox whose events Debezium relays from the database's log (change
// data capture). A row of the database selects the relay: the polling relay or Debezium. [ReadMode]
// and [SetMode] read and set it. A [Confirmer] marks the rows that Debezium has sent. The package
// does not configure Kafka Connect.
//
// # What it guarantees
//
//   - A row leaves the queue only when the replication slot is confirmed past the row's commit, and
//     Debezium confirms nothing that Kafka does not have. Backlog, retention and republishing
//     therefore mean the same in both modes. The package relies neither on clocks nor on the order
//     of sequence numbers; [Confirmer] describes how.
//   - A slot that was lost once is never trusted again, even when a slot of the same name appears.
//     Its events stay queued, so the polling relay can send them.
//   - SetMode refuses a change that visibly loses or reorders events.
//
// # What it does not
//
// It cannot see what the connector does. Operators must find a connector that reads another
// publication, or whose offsets were reset. At a change of the mode both relay for a moment, and
// records are published twice.
//
// # How it fails
//
// While the database does not answer, the Confirmer marks nothing and tries again each second.
// [Confirmer.Ready] reports that, a lost slot, and a slot that no session has read for half a
// minute. No error of the database ends [Confirmer.Run].
package capture
