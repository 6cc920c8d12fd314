// Package fresh lets a read wait until the read models contain a version that its client has
// written ([Waiting]), and measures how far the read models are behind the topics ([Lag]).
//
// A waiting read has no database connection. What the consumer of this process commits wakes it.
// What another process commits is found by one query for all waiting reads, four times per second.
// The number of waiting reads and the time of each are bounded, so that a reader that has stopped
// costs a bounded amount of memory and no connections.
//
// It guarantees that a view is not reported as fresh before a query can see the version. It does not
// guarantee that a version comes: a read model that cannot catch up by itself is reported at once.
package fresh
