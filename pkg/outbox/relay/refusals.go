package relay

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"eventshop.example/pkg/outbox"
)

const (
	// severalKeys and refusesAllAfter: a topic counts as refusing all records when it has refused
	// the records of so many keys for so long, and has accepted none meanwhile. The broker may be
	// right to refuse the records of fewer keys, and these must not make a service unready. The
	// time allows for records that were refused because of another record in their batch, see
	// [pause].
	severalKeys     = 3
	refusesAllAfter = 3 * time.Second
)

// refusal is a topic that accepts no records.
type refusal struct {
	topic string
	since time.Time
	keys  int // refused since then; 0: the topic as a whole
	err   error
}

// refusals returns the topics that accept no records: those that the broker refused as a whole, and
// those that have refused one record after the other. The topic that has accepted none for the
// longest time comes first.
func (f *flight) refusals(now time.Time) []refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]refusal{}
	latest := map[string]time.Time{}
	for key, d := range f.deferrals.keys {
		if aborted(d.err) || !d.since.After(f.deferrals.lastAck[key.topic]) {
			continue
		}
		one, known := all[key.topic]
		if !known || d.since.Before(one.since) {
			one.since = d.since
		}
		if d.until.After(latest[key.topic]) {
			latest[key.topic], one.err = d.until, d.err
		}
		one.topic = key.topic
		one.keys++
		all[key.topic] = one
	}
	maps.DeleteFunc(all, func(_ string, one refusal) bool {
		return one.keys < severalKeys || now.Sub(one.since) < f.deferrals.refusesAllAfter
	})
	for topic, d := range f.deferrals.topics {
		all[topic] = refusal{topic: topic, since: d.since, err: d.err}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b refusal) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.topic, b.topic))
	})
}

// topicWide reports whether every record of the topic would get the error. All other errors defer
// only the order key.
func topicWide(err error) bool {
	for _, e := range []error{
		kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException,
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		// Records get their time when they are sent, so the clock of the broker or of this process
		// is wrong.
		kerr.InvalidTimestamp,
		// These depend on the topic or the broker, not on the record.
		kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.InvalidRequiredAcks, kerr.UnsupportedVersion,
		kerr.SecurityDisabled, kerr.SaslAuthenticationFailed, kerr.InvalidConfig,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reason returns the name of an error for a metric: the broker's code, or "client". There are few
// different names.
func reason(err error) string {
	if refusal := (*kerr.Error)(nil); errors.As(err, &refusal) {
		return refusal.Message
	}
	return "client"
}

// describedRefusals bounds what [Relay.Refused] returns when a broker refuses all records.
const describedRefusals = 100

// Refused returns the records of this relay that the broker refuses: 100 at most, whole topics
// first, then the oldest.
func (r *Relay) Refused() []outbox.Refused { return r.flight.describe() }

// describe returns the deferred topics and order keys, topics first, the oldest first.
func (f *flight) describe() []outbox.Refused {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []outbox.Refused{}
	add := func(topic, key string, whole bool, d deferral) {
		if !aborted(d.err) {
			all = append(all, outbox.Refused{Topic: topic, Key: key, Whole: whole, Reason: d.err.Error(), Since: d.since.UTC(), Attempts: d.attempts, NextTry: d.until.UTC()})
		}
	}
	for topic, d := range f.deferrals.topics {
		add(topic, "", true, d)
	}
	for key, d := range f.deferrals.keys {
		add(key.topic, key.key, false, d)
	}
	slices.SortFunc(all, func(a, b outbox.Refused) int {
		switch {
		case a.Whole && !b.Whole:
			return -1
		case b.Whole && !a.Whole:
			return 1
		}
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Key, b.Key))
	})
	return all[:min(len(all), describedRefusals)]
}
