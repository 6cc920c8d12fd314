package relay

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"eventshop.example/pkg/backoff"
)

// deferrals are the order keys and topics that the relay does not read for a while because the
// broker refused a record. The mutex of [flight] guards them: a read must see a refused record
// neither in memory nor as due.
type deferrals struct {
	keys    map[orderKey]deferral
	topics  map[string]deferral
	lastAck map[string]time.Time // by topic: the last acknowledgement
	newKeys map[string]int       // by topic: the order keys first refused since then
	pause   func(attempts int) time.Duration

	refusesAllAfter time.Duration
}

func newDeferrals() deferrals {
	return deferrals{
		keys: map[orderKey]deferral{}, topics: map[string]deferral{},
		lastAck: map[string]time.Time{}, newKeys: map[string]int{},
		pause: pause, refusesAllAfter: refusesAllAfter,
	}
}

// deferral keeps an order key or a topic from being read after the broker refused it.
type deferral struct {
	since    time.Time // the first refusal; the broker has accepted no record of the key, or topic, since
	until    time.Time
	attempts int
	err      error
	unlogged bool // enough refusals of the topic have been logged
}

const (
	minPause = 100 * time.Millisecond
	maxPause = 30 * time.Second
)

// pause is the time before the next try after attempts failures: minPause, doubled with each of
// them up to maxPause. It varies by half in both directions. This spreads the load. It also puts records that shared a batch with a refused record
// into different batches at the next try.
func pause(attempts int) time.Duration {
	return backoff.Policy{Base: minPause / 2, Max: maxPause + maxPause/2, Jitter: 2, Plateau: maxPause / 2}.Wait(attempts)
}

// again returns the deferral after another refusal.
func (d deferral) again(err error, now time.Time, pauseOf func(int) time.Duration) deferral {
	if d.attempts == 0 {
		d.since = now
	}
	return deferral{since: d.since, until: now.Add(pauseOf(d.attempts)), attempts: d.attempts + 1, err: err}
}

// refused defers an order key, or its topic when the topic is the cause.
func (d *deferrals) refused(key orderKey, err error, topicWide bool, now time.Time) deferral {
	if topicWide {
		one, known := d.topics[key.topic]
		if known && now.Before(one.until) {
			one.unlogged = true // one of many records that fail for the same reason
			return one
		}
		one = one.again(err, now, d.pause)
		d.topics[key.topic] = one
		return one
	}
	one, known := d.keys[key]
	one = one.again(err, now, d.pause)
	d.keys[key] = one
	if !known && !aborted(err) {
		d.newKeys[key.topic]++
	}
	one.unlogged = d.newKeys[key.topic] > loggedKeys
	return one
}

// accepted records that the broker has a record of the order key. If the topic had accepted none
// for a while, the order keys refused meanwhile need not wait for their long pauses: they become
// due soon, and sooner reports that. The new pauses vary as well, see [pause]. Each order key gets
// this once; its later refusals count as its own.
func (d *deferrals) accepted(key orderKey, now time.Time) (sooner bool) {
	delete(d.keys, key)
	delete(d.topics, key.topic)
	if sooner = d.newKeys[key.topic] > 0; sooner {
		for other, one := range d.keys {
			if soon := now.Add(d.pause(soonAttempts)); other.topic == key.topic && one.since.After(d.lastAck[key.topic]) && soon.Before(one.until) {
				one.until = soon
				d.keys[other] = one
			}
		}
		delete(d.newKeys, key.topic)
	}
	d.lastAck[key.topic] = now
	return sooner
}

const (
	// loggedKeys is how many keys of a topic have their refusals logged until the topic accepts a
	// record. A broker that refuses all records would fill the log otherwise.
	loggedKeys = 20
	// soonAttempts results in pauses of 0.4 to 1.2 s.
	soonAttempts = 3
)

// exclude adds the current deferrals to a view.
func (d *deferrals) exclude(v *view, now time.Time, maxKeys int) {
	// A deferral that was due long ago and has not been renewed belongs to a record that an
	// operator has removed.
	forgotten := func(one deferral) bool { return now.After(one.until.Add(2 * maxPause)) }
	maps.DeleteFunc(d.topics, func(_ string, one deferral) bool { return forgotten(one) })
	maps.DeleteFunc(d.keys, func(_ orderKey, one deferral) bool { return forgotten(one) })
	due := func(one deferral) bool {
		if now.Before(one.until) && (v.nextDue.IsZero() || one.until.Before(v.nextDue)) {
			v.nextDue = one.until
		}
		return !now.Before(one.until)
	}
	for topic, one := range d.topics {
		if !due(one) {
			v.topics = append(v.topics, topic)
		}
	}
	keys, n := map[string][]orderKey{}, 0
	for key, one := range d.keys {
		if !due(one) && !slices.Contains(v.topics, key.topic) {
			keys[key.topic] = append(keys[key.topic], key)
			n++
		}
	}
	for n > maxKeys {
		most := slices.MaxFunc(slices.Collect(maps.Keys(keys)), func(a, b string) int { return cmp.Compare(len(keys[a]), len(keys[b])) })
		v.topics = append(v.topics, most)
		n -= len(keys[most])
		delete(keys, most)
	}
	for _, ofTopic := range keys {
		for _, key := range ofTopic {
			if key.row != 0 {
				v.deferredRows = append(v.deferredRows, key.row)
				continue
			}
			v.keyTopics = append(v.keyTopics, key.topic)
			v.keys = append(v.keys, []byte(key.key))
		}
	}
}

// deferredCount returns the number of order keys and topics whose records the broker refuses.
func (f *flight) deferredCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.deferrals.keys) + len(f.deferrals.topics)
}
