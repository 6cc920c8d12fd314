package relay

import (
	"sync"
	"time"
)

// holdState is the hold on the outbox, as of the last claim. See package admin.
type holdState struct {
	mu     sync.Mutex
	reason string // "": there is none
	since  time.Time
}

// set records a hold. It returns when this relay first saw the hold, and whether it is new.
func (h *holdState) set(reason string, now time.Time) (since time.Time, begins bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if begins = h.reason == ""; begins {
		h.since = now
	}
	h.reason = reason
	return h.since, begins
}

// clear records that there is no hold, and returns whether there was one.
func (h *holdState) clear() (ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended = h.reason != ""
	h.reason = ""
	return ended
}

func (h *holdState) why() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reason
}

// pauseForHold is one iteration of the lease loop during a hold. The relay sends nothing more, and
// pauseForHold returns the shards that have nothing in flight. When the broker does not acknowledge
// records in time, UnsafeAbortBufferedRecords takes them from the producers. AbortBufferedRecords
// would wait for responses: a broker that lost its data never sends them, and its successor would
// get these records first. Unacknowledged records stay unpublished, and the client takes a new
// producer epoch.
func (r *Relay) pauseForHold(shards []int16, reason string) (idle []int16) {
	now := r.clock()
	since, begins := r.hold.set(reason, now)
	if begins {
		r.cfg.Logger.Info("outbox relay is held", "reason", reason)
	}
	r.metrics.onHold.Set(1)
	idle = r.flight.releaseShards(shards, now)
	if _, sent, _, _ := r.flight.counts(); sent > 0 && now.Sub(since) > r.cfg.DrainTimeout {
		r.abort()
	}
	return idle
}

// endHold records that there is no hold. After a hold the broker may be a different one, which has
// the same topics under other ids. [producers.reopenForRecreated] replaces the clients before
// anything is sent.
func (r *Relay) endHold() {
	if r.hold.clear() {
		r.producers.recreated.addAll()
		r.cfg.Logger.Info("outbox relay is released")
	}
	r.metrics.onHold.Set(0)
}
