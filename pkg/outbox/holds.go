package outbox

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// hold keeps a lane or a topic from being read after the broker refused it.
type hold struct {
	since    time.Time // the first refusal; none has been taken of the lane, or topic, after it
	until    time.Time
	attempts int
	err      error
	quiet    bool // enough has been logged of the topic
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

// after is h after another refusal.
func (h hold) after(err error, now time.Time, pauseOf func(int) time.Duration) hold {
	if h.attempts == 0 {
		h.since = now
	}
	return hold{since: h.since, until: now.Add(pauseOf(h.attempts)), attempts: h.attempts + 1, err: err}
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
			h.quiet = true // one of many records that fail for the same reason
			return h
		}
		h = h.after(err, now, f.pause)
		f.heldTopics[r.lane.topic] = h
		return h
	}
	h, known := f.heldLanes[r.lane]
	h = h.after(err, now, f.pause)
	f.heldLanes[r.lane] = h
	if !known && !givenUp(err) {
		f.lately[r.lane.topic]++
	}
	h.quiet = f.lately[r.lane.topic] > loggedKeys
	return h
}

// tookOne notes that the broker has a record of the lane. If the topic had taken none for a
// while, what was refused meanwhile need not wait for its long pauses. It is spread all the
// same, see pause, and each lane has this once: afterwards its refusals are its own.
func (f *flight) tookOne(lane laneKey, now time.Time) {
	delete(f.heldLanes, lane)
	delete(f.heldTopics, lane.topic)
	if f.lately[lane.topic] > 0 {
		for other, h := range f.heldLanes {
			if soon := now.Add(f.pause(soonAttempts)); other.topic == lane.topic && h.since.After(f.taken[lane.topic]) && soon.Before(h.until) {
				h.until = soon
				f.heldLanes[other] = h
			}
		}
		delete(f.lately, lane.topic)
		notify(f.reread) // which looks when the next hold ends
	}
	f.taken[lane.topic] = now
}

const (
	// loggedKeys is of how many keys of a topic a refusal is logged until the topic takes
	// a record. A broker that refuses all would fill the log otherwise.
	loggedKeys = 20
	// soonAttempts makes pauses of 0.4 to 1.2 s.
	soonAttempts = 3
)

// holds fills in what is held back at this moment. The caller holds the lock.
func (f *flight) holds(v *view, now time.Time, maxLanes int) {
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
	lanes, n := map[string][]laneKey{}, 0
	for lane, h := range f.heldLanes {
		if !due(h) && !slices.Contains(v.topics, lane.topic) {
			lanes[lane.topic] = append(lanes[lane.topic], lane)
			n++
		}
	}
	for n > maxLanes {
		most := slices.MaxFunc(slices.Collect(maps.Keys(lanes)), func(a, b string) int { return cmp.Compare(len(lanes[a]), len(lanes[b])) })
		v.topics = append(v.topics, most)
		n -= len(lanes[most])
		delete(lanes, most)
	}
	for _, held := range lanes {
		for _, lane := range held {
			if lane.row != 0 {
				v.laneRows = append(v.laneRows, lane.row)
				continue
			}
			v.laneTopics = append(v.laneTopics, lane.topic)
			v.laneKeys = append(v.laneKeys, []byte(lane.key))
		}
	}
}

// heldCount returns how many lanes and topics the broker refuses records of.
func (f *flight) heldCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heldLanes) + len(f.heldTopics)
}
