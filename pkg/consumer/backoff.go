package consumer

import (
	"math/rand/v2"
	"time"

	"eventshop.example/pkg/errs"
)

// Backoff says how long to wait before something that failed is tried again:
//
//	max(Floor, min(Base·2^attempt + jitter, Max))
//
// with jitter uniform in [0, Base·2^attempt/2), so that those which failed together do
// not come back together (the thundering herd).
type Backoff struct {
	Base  time.Duration // default 100 ms
	Max   time.Duration // default 30 s
	Floor time.Duration // never wait less; default 10 ms, so that no Base makes a busy loop
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

// wait is Wait with the chance given: random is uniform in [0, 1).
func (b Backoff) wait(attempt int, random float64) time.Duration {
	// 2^attempt leaves the range of a Duration long before attempt 63; by then
	// every sane Max is passed, so the shift is bounded instead of checked.
	d := b.Base << min(attempt, 20)
	if d <= 0 || d >= b.Max {
		return max(b.Floor, b.Max)
	}
	return max(b.Floor, min(d+time.Duration(random*float64(d)/2), b.Max))
}

// Wait returns the pause before the next try, attempt counting from 1.
func (b Backoff) Wait(attempt int) time.Duration {
	return b.withDefaults().wait(attempt, rand.Float64())
}

// after returns when to try again what met something that is down, and how often in a
// row it has been tried by now. Where the error knows how long to wait, as that of an
// open breaker does, it is that long, and nothing was tried.
func (b Backoff) after(tries int, err error) (due time.Time, tried int) {
	if d, refused := errs.RetryAfter(err); refused {
		return time.Now().Add(d + time.Duration(rand.Float64()*float64(retryAfterJitter))), tries
	}
	return time.Now().Add(b.Wait(tries + 1)), tries + 1
}

// retryAfterJitter spreads those that wait for the same instant.
const retryAfterJitter = 50 * time.Millisecond

// Retry is what happens to a record whose handling fails, other than by a fault of
// something that is down (errs.Transient: its partition waits, without limit) or beyond
// repair (errs.Hopeless: a dead letter at once).
type Retry struct {
	Attempts int     // in all, the first one included; then it is a dead letter. Default 6
	Backoff  Backoff // between them
}

// withDefaults takes what is not set from other, then from the package.
func (r Retry) withDefaults(other Retry) Retry {
	if r.Attempts <= 0 {
		r.Attempts = other.Attempts
	}
	if r.Attempts <= 0 {
		// With the default backoff the sixth attempt comes some eight seconds after the
		// first: what a newer read or a brief lock can settle is settled by then.
		r.Attempts = 6
	}
	if r.Backoff == (Backoff{}) {
		r.Backoff = other.Backoff
	}
	return r
}
