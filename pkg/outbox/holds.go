package outbox

import (
	"maps"
	"math/rand/v2"
	"time"
)

// hold keeps a lane or a topic from being read after the broker refused it.
type hold struct {
	until    time.Time
	attempts int
	err      error
}

const (
	minPause = 100 * time.Millisecond
	maxPause = 30 * time.Second
)

// pause is the time before the next try after attempts failures. It varies by
// half in both directions, not only to spread load: records that failed because
// they shared a batch with the one that the broker refuses come back in different
// batches.
func pause(attempts int) time.Duration {
	d := maxPause
	if attempts < 9 { // 100 ms · 2^9 is above the maximum
		d = min(maxPause, minPause<<attempts)
	}
	return d/2 + rand.N(d)
}

// refused notes that the broker will not have r, drops its whole lane from
// memory, and holds back the lane (or the topic, when the topic is the cause)
// until a pause has passed. Then the database says again what comes next.
func (f *flight) refused(r *record, err error, topicWide bool, now time.Time) hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	f.drop(r.lane, 0)
	if topicWide {
		h, known := f.heldTopics[r.lane.topic]
		if known && now.Before(h.until) {
			return h // one of many records that fail for the same reason
		}
		h = hold{until: now.Add(pause(h.attempts)), attempts: h.attempts + 1, err: err}
		f.heldTopics[r.lane.topic] = h
		return h
	}
	h := f.heldLanes[r.lane]
	h = hold{until: now.Add(pause(h.attempts)), attempts: h.attempts + 1, err: err}
	f.heldLanes[r.lane] = h
	return h
}

// holds fills in what is held back at this moment. The caller holds the lock.
func (f *flight) holds(v *view, now time.Time) {
	// A hold that was due long ago and has not been renewed is of a record that
	// an operator has removed.
	forgotten := func(h hold) bool { return now.After(h.until.Add(2 * maxPause)) }
	maps.DeleteFunc(f.heldTopics, func(_ string, h hold) bool { return forgotten(h) })
	maps.DeleteFunc(f.heldLanes, func(_ laneKey, h hold) bool { return forgotten(h) })
	due := func(h hold) bool {
		if now.Before(h.until) && (v.nextDue.IsZero() || h.until.Before(v.nextDue)) {
			v.nextDue = h.until
		}
		return !now.Before(h.until)
	}
	for topic, h := range f.heldTopics {
		if !due(h) {
			v.topics = append(v.topics, topic)
		}
	}
	for lane, h := range f.heldLanes {
		if !due(h) {
			v.laneTopics = append(v.laneTopics, lane.topic)
			v.laneKeys = append(v.laneKeys, []byte(lane.key))
		}
	}
}

// topicTrouble returns a topic that refuses records, with the reason.
func (f *flight) topicTrouble() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for topic, h := range f.heldTopics {
		return topic, h.err
	}
	return "", nil
}

// heldCount returns how many lanes and topics the broker refuses records of.
func (f *flight) heldCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heldLanes) + len(f.heldTopics)
}
