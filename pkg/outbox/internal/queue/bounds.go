package queue

import "github.com/google/uuid"

// Bounds are where reads of shards begin: no entry below them exists or will appear, for as long as
// Requeues and Incarnation are those of the database. See package relay. The zero values of the two
// are never those of a database.
type Bounds struct {
	Shards      []int16
	Least       []int64 // of each shard
	Requeues    int64
	Incarnation uuid.UUID
}

// NoBounds returns the bounds of reads that begin at the first entry.
func NoBounds(shards ...int16) Bounds {
	return Bounds{Shards: shards, Least: make([]int64, len(shards))}
}

// Holds reports, as SQL, whether bounds hold, with the arguments $3 and $4.
const Holds = `(SELECT requeues FROM outbox_mode) = $3::bigint AND ` + Incarnation + ` = $4::uuid`
