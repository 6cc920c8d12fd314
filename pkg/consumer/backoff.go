package consumer

import (
	"math/rand/v2"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/errs"
)

// Backoff configures how long to wait before something that failed is tried again; see package
// backoff:
//
//	max(Floor, min(Base·2^attempt + jitter, Max))
//
// jitter is uniform in [0, Base·2^attempt/2). It spreads out retries of records that failed
// together (the thundering herd).
type Backoff struct {
	Base  time.Duration // default 100 ms
	Max   time.Duration // default 30 s
	Floor time.Duration // the least wait; default 10 ms, so that no Base makes a busy loop
}

func (b Backoff) withDefaults() Backoff {
	if b.Base <= 0 {
		b.Base = 100 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 30 * time.Second
	}
	if b.Floor <= 0 {
		b.Floor = 10 * time.Millisecond
	}
	return b
}

// wait is Wait with the random number as a parameter: random is uniform in [0, 1).
func (b Backoff) wait(attempt int, random float64) time.Duration {
	return max(b.Floor, backoff.Policy{Base: b.Base, Max: b.Max, Jitter: 0.5}.WaitAt(attempt, random))
}

// Wait returns the pause before the next try. attempt counts from 1.
func (b Backoff) Wait(attempt int) time.Duration {
	return b.withDefaults().wait(attempt, rand.Float64())
}

// after returns when to try again after meeting something that is down, and how often in a row it
// has been tried. Where the error names a wait, as that of an open circuit breaker does, after
// returns that wait and does not count a try, because nothing was tried.
func (b Backoff) after(tries int, err error) (due time.Time, tried int) {
	if d, refused := errs.RetryAfter(err); refused {
		return time.Now().Add(d + time.Duration(rand.Float64()*float64(retryAfterJitter))), tries
	}
	return time.Now().Add(b.Wait(tries + 1)), tries + 1
}

// retryAfterJitter spreads retries that wait for the same instant.
const retryAfterJitter = 50 * time.Millisecond

// Retry configures what happens to a record whose handling fails by its own fault. It does not
// apply to errors of kind errs.Transient (something is down: the partition waits, without limit) or
// errs.Hopeless (a dead letter at once).
type Retry struct {
	Attempts int     // in all, the first one included; after that the record is a dead letter. Default 6
	Backoff  Backoff // between them
}

// withDefaults takes what is not set from other, then from the package.
func (r Retry) withDefaults(other Retry) Retry {
	if r.Attempts <= 0 {
		r.Attempts = other.Attempts
	}
	if r.Attempts <= 0 {
		// With the default backoff the sixth attempt comes some eight seconds after the first. By
		// then whatever a newer read or a brief lock can settle is settled.
		r.Attempts = 6
	}
	if r.Backoff == (Backoff{}) {
		r.Backoff = other.Backoff
	}
	return r
}
