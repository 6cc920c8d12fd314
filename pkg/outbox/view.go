package outbox

import "time"

// view is what the next read needs to know, as of one moment.
type view struct {
	generation uint64
	shards     []int16
	inFlight   []int64
	bytes      int
	topics     []string // held
	laneTopics []string // held, with laneKeys
	laneKeys   [][]byte
	laneRows   []int64   // held, of records without a key
	nextDue    time.Time // when the first hold ends; zero when there is none
}

// view returns that. At most maxLanes held lanes are in it, since each read carries them:
// the topics with the most are left out as a whole, so that they do not keep others waiting.
func (f *flight) view(now time.Time, maxLanes int) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Never nil, but for laneRows: NULL arrays would make each exclusion NULL.
	v := view{generation: f.generation, bytes: f.bytes, shards: []int16{}, topics: []string{}, laneTopics: []string{}, laneKeys: [][]byte{}}
	v.inFlight = make([]int64, 0, len(f.rows))
	for seq := range f.rows {
		v.inFlight = append(v.inFlight, seq)
	}
	for shard := range f.leased {
		v.shards = append(v.shards, shard)
	}
	f.holds(&v, now, maxLanes)
	return v
}
