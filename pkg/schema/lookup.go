package schema

import (
	"context"
	"sync"
	"time"

	"eventshop.example/pkg/errs"
)

const (
	// DefaultGrace is how long a schema id is looked up again before the value counts as
	// undecodable: replicas of a registry receive a new schema within seconds.
	DefaultGrace = 30 * time.Second

	// DefaultPatience is how long Encode and Decode wait for an answer. A healthy registry answers
	// within milliseconds, so a short wait saves the caller a retry. It is short because callers
	// have a transaction open, or delay other partitions. They do not wait for a registry that
	// fails.
	DefaultPatience = 500 * time.Millisecond
	// slow is when an unanswered request becomes a reason not to be ready.
	slow = time.Second
	// maxInFlight bounds the concurrent lookups. A healthy registry answers thousands per second
	// with it, and a slow one is not made slower.
	maxInFlight = 8
	// maxUnknown bounds the ids kept without a schema, about 200 bytes each.
	maxUnknown = 10_000
	// episodePart: in an episode an id waits for this fraction of the grace period, one in so many.
	episodePart = 30
	// longestEpisode is the maximum length of an episode, in grace periods.
	longestEpisode = 10
	// verdictAge is how long a verdict is valid without asking again. After that, the next try
	// finds a schema that an operator has restored.
	verdictAge = time.Second
	// controlAge is how long the control is valid: many ids that are judged together share it.
	controlAge = 100 * time.Millisecond
	// forgotten is how long an id is kept that no caller asks for any more.
	forgotten = 10 * time.Minute

	// Pauses between requests for one id, doubling.
	askAgainMin = 100 * time.Millisecond
	askAgainMax = 5 * time.Second
	// A failing registry gets one request at a time, with these pauses between.
	probeMin = 100 * time.Millisecond
	probeMax = 2 * time.Second
)

// lookups finds the schemas of unknown ids, in the background. Callers wait for the patience at
// most; after that they get an error with a [Waiting] in its chain.
//
// A registry's "no such schema" is believed when it has lasted for the grace period, and when the
// registry then has the schema that it must have (the control). All ids wait at the same time.
// After one has waited in vain an episode begins, in which further ids wait for a small part of the
// grace period: a thousand of them cost one grace period.
//
// No request is sent while no caller asks.
type lookups struct {
	client   *Client
	grace    time.Duration
	patience time.Duration
	learn    func(id int, text string) error // caches a schema; fails when text is no Avro schema
	control  func() (id int, text string)    // a schema that the registry must have; id 0 for none
	metrics  *metrics

	mu      sync.Mutex
	unknown map[int]*unknown
	queue   []int                 // ids to ask for
	asking  map[*unknown]struct{} // ids with a request in progress
	news    chan struct{}         // closed and replaced at each answer

	failing  error     // of the latest request, when the registry is at fault
	failed   int       // in a row
	probeAt  time.Time // when a failing registry is asked again
	brokeAt  time.Time // when it began to fail
	steady   time.Time // since when it has answered, if it had failed for long before
	episode  time.Time // when the episode began; zero outside of one
	lastEnd  time.Time // of a grace period, within the episode
	verifies sync.Mutex
	verified time.Time // when the control last succeeded; guarded by verifies
}

// unknown is an id without a schema.
type unknown struct {
	answer  chan struct{} // closed at the answer to the request that is queued or in progress
	queued  bool          // waits for its request
	asked   time.Time     // when the request in progress was sent; zero when none is
	next    time.Time     // not asked again before
	tries   int           // without a useful answer, in a row
	failure error         // of the latest request, when the registry is at fault
	denied  time.Time     // since when the registry denies it; zero while it does not
	why     error         // the denial
	verdict bool          // the denial is believed
	judged  time.Time     // latest time, when it is believed
	wanted  time.Time     // latest time
}

func newLookups(c *Client, grace, patience time.Duration, m *metrics) *lookups {
	if grace <= 0 {
		grace = DefaultGrace
	}
	return &lookups{client: c, grace: grace, patience: patience, metrics: m,
		unknown: map[int]*unknown{}, asking: map[*unknown]struct{}{}, news: make(chan struct{})}
}

// want asks for an id. It returns nil when the schema was cached meanwhile. Otherwise it returns an
// error of kind errs.Hopeless, or one with a [Waiting] in its chain.
func (l *lookups) want(ctx context.Context, id int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, err := l.entry(id, time.Now())
	if err != nil {
		return err
	}
	for {
		now := time.Now()
		if l.unknown[id] != u {
			return nil // the schema is cached
		}
		u.wanted = now
		if u.verdict && now.Sub(u.judged) < verdictAge {
			return errs.Wrap(errs.Hopeless, u.why, "find writer's schema")
		}
		if !u.queued && u.asked.IsZero() && !now.Before(u.next) {
			u.queued, u.answer = true, make(chan struct{})
			l.queue = append(l.queue, id)
		}
		l.dispatch(now)
		wait := l.patienceFor(u, now)
		if wait <= 0 {
			return l.waiting(id, u, now)
		}
		answer := u.answer
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-answer:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		l.mu.Lock()
		if ctx.Err() != nil {
			return l.waiting(id, u, time.Now())
		}
	}
}

// entry returns the state of an id, and adds it when it is new. The caller has locked mu.
func (l *lookups) entry(id int, now time.Time) (*unknown, error) {
	if u := l.unknown[id]; u != nil {
		return u, nil
	}
	if len(l.unknown) >= maxUnknown {
		for id, u := range l.unknown {
			if u.asked.IsZero() && !u.queued && (u.verdict || now.Sub(u.wanted) > forgotten) {
				delete(l.unknown, id)
			}
		}
		if len(l.unknown) >= maxUnknown {
			return nil, errs.New(errs.Transient, "find writer's schema: %w", &Waiting{
				what: "schema id " + itoa(id) + " waits behind too many others", wait: slow, news: l.news})
		}
	}
	u := &unknown{}
	l.unknown[id] = u
	return u, nil
}

// patienceFor returns how long to wait for the first answer about an id. Time that another request
// has waited already is subtracted, so that many ids cost one patience.
func (l *lookups) patienceFor(u *unknown, now time.Time) time.Duration {
	if u.asked.IsZero() && !u.queued || l.failing != nil || u.tries > 0 {
		return 0
	}
	return l.patience - now.Sub(l.oldest(now))
}

// oldest returns when the oldest request in progress was sent, or now when there is none.
func (l *lookups) oldest(now time.Time) time.Time {
	oldest := now
	for u := range l.asking {
		if u.asked.Before(oldest) {
			oldest = u.asked
		}
	}
	return oldest
}

// waiting returns what an id waits for.
func (l *lookups) waiting(id int, u *unknown, now time.Time) error {
	w := &Waiting{what: "look up schema id " + itoa(id), news: l.news, wait: 250 * time.Millisecond}
	oldest := now.Sub(l.oldest(now))
	switch {
	case u.failure != nil:
		w.cause, w.down = u.failure, true
	case l.failing != nil:
		w.cause, w.down = l.failing, true
	case u.why != nil:
		w.what = "the schema registry does not have what the value was written with, and is asked again for " + l.grace.String()
		w.cause = u.why
	case oldest > slow:
		w.what += ": the registry does not answer"
		w.down = true
	default:
		w.what += ": no answer yet"
	}
	if u.asked.IsZero() {
		next := u.next
		if l.failing != nil && l.probeAt.After(next) {
			next = l.probeAt
		}
		w.wait = min(max(next.Sub(now), 10*time.Millisecond), slow)
	}
	return errs.Wrap(errs.Transient, w, "find writer's schema")
}

// doubled returns the pause after the nth try.
func doubled(least, most time.Duration, n int) time.Duration {
	return min(least<<min(max(n-1, 0), 20), most)
}

// down returns why the registry cannot be asked for the ids that are wanted now; nil when it can.
func (l *lookups) down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for id, u := range l.unknown {
		if u.verdict || now.Sub(u.wanted) > 10*time.Second {
			continue
		}
		if err := l.waiting(id, u, now); isDown(err) {
			return err
		}
	}
	return nil
}

// waits returns the number of ids that were wanted lately and have no schema and no verdict.
func (l *lookups) waits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, u := range l.unknown {
		if !u.verdict && time.Since(u.wanted) < 10*time.Second {
			n++
		}
	}
	return n
}
