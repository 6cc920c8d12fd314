// Package projection runs read models that have versions. A projection is a read model with a name.
// A version of it is a fold in code, and tables in a Postgres schema of their own. Several versions
// live in one program and one database. Queries read one of them, the live one.
//
// # Who writes
//
// The reader is the consumer group of the service. It feeds every attached version, in the
// transaction of its batch: [Set.Save] is called from the group's model, and [Set.Advanced] moves
// the versions' positions together with the group's (see package position). A version that is not
// attached is fed by a filler, [Set.Run], which reads the topics from offset 0 without a group and
// has positions of its own. It never passes the reader. When both are at the same positions, it
// attaches the version, under a lock that the reader's transactions share.
//
// # What it guarantees
//
//   - An event has one effect per version, at however many offsets it lies, and whoever applies it.
//   - Versions that are attached contain the same records: a snapshot of the database has all of them
//     at equal offsets, so they can be compared while the reader goes on.
//   - No gap stays unnoticed. A position that does not continue where the version's own ended (an
//     earlier release was the reader in between) detaches the version, and so do records that the reader
//     passes because it has receipts of them (an earlier release handled them). The filler closes the gap.
//   - A filling goes on where it was after kill -9, in this process or another.
//   - A switch is one transaction. Queries that began before it end on the version they began with.
//   - A version with a record that it does not contain never goes live. Decisions of operators about
//     the group's dead letters are applied by the records' coordinates.
//
// # What it does not
//
// A fold must not depend on the order of events, because retries and repaired records come late. A
// record that waits in the group's retry topic counts for the filler, although the live version does
// not contain it yet; a comparison shows the difference until the retry is over. The tables of a
// version that follows are written in the reader's transaction, which takes that much longer; a
// statement that waits for a lock on them delays it until the consumer's time limit for a transaction.
// A version must have no deferred constraints: they fail the commit, which no version is blamed for.
//
// # When a version fails
//
// A version that is not live never fails a record. When its fold or its selection fails, the record is
// listed for that version with its place and the reason, and the transaction goes on. When one of its
// statements fails, or the code that makes them, the transaction is rolled back and repeated at once
// ([Set.Without]); the repetition writes this version behind savepoints, halves the set until the records
// at fault are found, and lists them. The other versions get all records. Where the tables as a whole are
// at fault (missing, locked, no privilege), all records of the set are listed.
//
// Listed records keep the version from going live. The filler tries them every few seconds, so they leave the
// list when the tables or the program take them. A version for which the reader lists more than 1,000 records
// is failed and not fed any longer; a rebuild begins again.
//
// A failure of a live version is the record's failure, as in any reaction: it is retried, and then a dead
// letter for all versions.
//
// # Base versions
//
// A base version has its tables in the schema public, where an earlier release writes them as well.
// It is attached until it is dropped or failed, has no positions here, and is not filled.
//
// # How it fails
//
// While the database or the brokers are down, fillings wait and are tried again. A topic that no
// longer begins at offset 0 fails a filling with that reason.
package projection
