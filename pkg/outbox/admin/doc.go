// Package admin lets operators work on an outbox: stop and release its relays, publish rows again,
// and describe the table. It needs only the database, with or without a relay in the same process.
//
// # What it guarantees
//
//   - When [Admin.Hold] returns nil, no relay of the table publishes, and none does until
//     [Admin.Release]. Relays of all processes follow, including those that start later.
//   - [Admin.Republish] queues all selected rows in one transaction, or none of them. The relays
//     are stopped meanwhile, so a topic that was created again gets the events of each key in
//     their order.
//   - [Admin.Describe] reads one snapshot, so its figures agree. Its time depends
//     neither on the backlog nor on what is retained: large figures are estimates.
//
// # What it does not
//
// A frozen relay counts as stopped when its lease has expired. When it continues, it can send one
// record per key that it had at the producer. Republished records keep their former ids: consumers
// recognise them as far back as their inboxes reach.
//
// # How it fails
//
// A process that dies during Republish leaves the relays stopped for 15 seconds at most, and no row
// queued. A hold of [Admin.Hold] lasts until Release, even if the process that created it ends.
//
// The procedure for a broker that lost its data: Hold, create the topics again, Republish,
// Release.
package admin
