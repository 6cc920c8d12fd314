package relay

import (
	"maps"
	"slices"
	"time"
)

// view is the state that the next read needs, as of one moment.
type view struct {
	generation uint64
	shards     []int16
	inFlight   []int64
	bound      bound
	bytes      int

	// What is deferred.
	topics       []string
	keyTopics    []string // with keys: the topic of each
	keys         [][]byte
	deferredRows []int64   // of records without a key
	nextDue      time.Time // when the first deferral ends; zero when there is none
}

// ledShards returns the shards that this relay leads.
func (f *flight) ledShards() (shards []int16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.leased))
}

// view returns the state for a read. It contains at most maxKeys deferred keys, because each read
// sends them to the database. Above that, the topics with the most deferred keys are left out as a
// whole, so that they do not delay the others.
func (f *flight) view(now time.Time, maxKeys int) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The arrays are never nil, except deferredRows: NULL arrays would make each exclusion NULL.
	v := view{generation: f.generation, bytes: f.bytes, bound: f.bound, shards: []int16{}, topics: []string{}, keyTopics: []string{}, keys: [][]byte{}}
	v.inFlight = make([]int64, 0, len(f.rows))
	for seq := range f.rows {
		v.inFlight = append(v.inFlight, seq)
	}
	for shard := range f.leased {
		v.shards = append(v.shards, shard)
	}
	f.deferrals.exclude(&v, now, maxKeys)
	return v
}
