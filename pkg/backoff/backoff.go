// Package backoff computes how long to wait before something that failed is tried again. The wait
// doubles from attempt to attempt, so that what is down is not loaded while it recovers, up to a
// maximum, so that its recovery is noticed. A random part, the jitter, spreads out the attempts of
// callers that failed together.
//
// # What it guarantees
//
// A wait is at least the base and at most the maximum, for any attempt: nothing overflows.
//
// # What it does not
//
// It does not wait, count attempts, or decide whether another attempt makes sense. It keeps no
// state, so it cannot fail, and any number of goroutines may use one [Policy].
package backoff

import (
	"math/rand/v2"
	"time"
)

// Policy is a backoff:
//
//	min(Base·2^attempt + jitter, Max)
//
// The jitter is uniform in [0, Jitter·Base·2^attempt).
type Policy struct {
	Base time.Duration
	Max  time.Duration
	// Jitter is the jitter's share of the rest of the wait. Without jitter, callers that failed
	// together try again together.
	Jitter float64
	// Plateau bounds Base·2^attempt. Without it, waits of many attempts are Max exactly. With
	// Max/(1+Jitter) they keep their whole jitter.
	Plateau time.Duration
}

// Wait returns the wait before another attempt. attempt is the exponent: a caller that counts its
// failures from 1 and wants to begin with Base passes the count less 1. A negative attempt is
// attempt 0.
func (p Policy) Wait(attempt int) time.Duration {
	return p.WaitAt(attempt, rand.Float64()) // the jitter is no secret
}

// WaitAt is [Policy.Wait] with the random number as a parameter: random is in [0, 1).
func (p Policy) WaitAt(attempt int, random float64) time.Duration {
	grown := p.Max
	if p.Plateau > 0 {
		grown = min(grown, p.Plateau)
	}
	// Shifting the bound to the right cannot overflow, as shifting Base to the left can. Beyond 62
	// bits nothing is left of it.
	if attempt = max(attempt, 0); attempt <= 62 && p.Base <= grown>>attempt {
		grown = p.Base << attempt
	}
	jitter := random * p.Jitter * float64(grown)
	if room := p.Max - grown; jitter >= float64(room) { // a large jitter does not fit into a Duration
		return p.Max
	}
	return grown + time.Duration(jitter)
}
