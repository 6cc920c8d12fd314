package consumer

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long a failing partition waits before it is tried again:
//
//	min(Base·2^attempt + jitter, Max)
//
// with jitter uniform in [0, Base·2^attempt/2), so that partitions which failed
// together do not come back together (the thundering herd).
type Backoff struct {
	Base time.Duration // default 100 ms
	Max  time.Duration // default 30 s
}

func (b Backoff) withDefaults() Backoff {
	if b.Base <= 0 {
		b.Base = 100 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 30 * time.Second
	}
	return b
}

// wait is Wait with the chance given: random is uniform in [0, 1).
func (b Backoff) wait(attempt int, random float64) time.Duration {
	// 2^attempt leaves the range of a Duration long before attempt 63; by then
	// every sane Max is passed, so the shift is bounded instead of checked.
	d := b.Base << min(attempt, 20)
	if d <= 0 || d >= b.Max {
		return b.Max
	}
	return min(d+time.Duration(random*float64(d)/2), b.Max)
}

// Wait returns the pause before the next try, attempt counting from 1.
func (b Backoff) Wait(attempt int) time.Duration {
	return b.withDefaults().wait(attempt, rand.Float64())
}
