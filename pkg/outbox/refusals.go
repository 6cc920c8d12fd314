package outbox

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// severalKeys and refusesAllAfter: a topic that has refused the records of so many keys
	// for so long, and has taken none meanwhile, takes none. Fewer can be records that the
	// broker is right to refuse, and they must not make a service unready. The time is for
	// records that were refused for the company of one, see pause.
	severalKeys     = 3
	refusesAllAfter = 3 * time.Second
)

// refusal is a topic that takes no records.
type refusal struct {
	topic string
	since time.Time
	keys  int // refused since then; 0: the topic as a whole
	err   error
}

// refusals returns the topics that take no records, the one that does so for the longest
// time first: those that said so, and those that have refused one record after the other.
func (f *flight) refusals(now time.Time) []refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]refusal{}
	latest := map[string]time.Time{}
	for lane, h := range f.heldLanes {
		if givenUp(h.err) || !h.since.After(f.taken[lane.topic]) {
			continue
		}
		one, known := all[lane.topic]
		if !known || h.since.Before(one.since) {
			one.since = h.since
		}
		if h.until.After(latest[lane.topic]) {
			latest[lane.topic], one.err = h.until, h.err
		}
		one.topic = lane.topic
		one.keys++
		all[lane.topic] = one
	}
	maps.DeleteFunc(all, func(_ string, one refusal) bool {
		return one.keys < severalKeys || now.Sub(one.since) < f.refusesAllAfter
	})
	for topic, h := range f.heldTopics {
		all[topic] = refusal{topic: topic, since: h.since, err: h.err}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b refusal) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.topic, b.topic))
	})
}

// topicWide tells errors that every record of the topic would meet. All others
// hold back the lane only.
func topicWide(err error) bool {
	for _, e := range []error{
		kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException,
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		// Records get their time when they are sent, so the broker's clock or ours is wrong.
		kerr.InvalidTimestamp,
		// What the topic, or the broker, takes of any record.
		kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.InvalidRequiredAcks, kerr.UnsupportedVersion,
		kerr.SecurityDisabled, kerr.SaslAuthenticationFailed, kerr.InvalidConfig,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reason names an error for a metric, with few different names: the broker's code, or client.
func reason(err error) string {
	if refusal := (*kerr.Error)(nil); errors.As(err, &refusal) {
		return refusal.Message
	}
	return "client"
}

// Refused is what the broker refused a record of, and what waits behind it.
type Refused struct {
	Topic    string    `json:"topic"`
	Key      string    `json:"key,omitempty"` // none: that of a record without one
	Whole    bool      `json:"wholeTopic,omitempty"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts"`
	NextTry  time.Time `json:"nextTry"`
}

// describedRefusals bounds what Describe tells of a broker that refuses all.
const describedRefusals = 100

// describe returns what is held back, the topics before the keys, and the oldest first.
func (f *flight) describe() []Refused {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []Refused{}
	add := func(topic, key string, whole bool, h hold) {
		if !givenUp(h.err) {
			all = append(all, Refused{topic, key, whole, h.err.Error(), h.since.UTC(), h.attempts, h.until.UTC()})
		}
	}
	for topic, h := range f.heldTopics {
		add(topic, "", true, h)
	}
	for lane, h := range f.heldLanes {
		add(lane.topic, lane.key, false, h)
	}
	slices.SortFunc(all, func(a, b Refused) int {
		if a.Whole != b.Whole {
			return cmp.Compare(oneIf(b.Whole), oneIf(a.Whole))
		}
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Key, b.Key))
	})
	return all[:min(len(all), describedRefusals)]
}
