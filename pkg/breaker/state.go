package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"eventshop.example/pkg/errs"
)

// State is where a Breaker stands.
type State string

// The states.
const (
	Closed   State = "closed"    // calls go through
	HalfOpen State = "half-open" // one call goes through and decides
	Open     State = "open"      // calls are refused
)

var states = map[gobreaker.State]State{
	gobreaker.StateClosed: Closed, gobreaker.StateHalfOpen: HalfOpen, gobreaker.StateOpen: Open,
}

// OpenError is a call that was refused and not made. It comes wrapped in an error of kind
// errs.Transient.
type OpenError struct {
	Name  string        // of the Breaker
	State State         // Open, or HalfOpen while another call is the probe
	After time.Duration // when to try again: what RetryAfter returns
}

// Error says what was refused and for how long.
func (e *OpenError) Error() string {
	return fmt.Sprintf("circuit breaker %s is %s: not called, again in %s", e.Name, e.State, e.After.Round(time.Millisecond))
}

// RetryAfter is the time until the probe is let through, or, while one is under way, a
// moment after which its outcome may be known. errs.RetryAfter finds it.
func (e *OpenError) RetryAfter() time.Duration { return e.After }

func (b *Breaker) refusal(err error) error {
	e := &OpenError{Name: b.cfg.Name, State: HalfOpen, After: probeWait}
	b.mu.Lock()
	s := b.seen
	b.mu.Unlock()
	if errors.Is(err, gobreaker.ErrOpenState) && s.state == Open { // else somebody has begun to probe meanwhile
		e.State, e.After = Open, max(time.Until(s.since.Add(b.cfg.OpenFor)), 0)+margin
	}
	return errs.New(errs.Transient, "%w", e)
}

// Wait is how long a call would be refused from now on: 0 when it would be let through,
// and a short while when it would meet the probe. It is a forecast, for a caller that has
// something better to do than to be refused, and changes nothing.
//
// courtesy is for callers in the background: they leave the probe alone for that long
// after it could have been made, so that it goes to a caller for which somebody waits.
// When none comes they probe, else nobody would.
func (b *Breaker) Wait(courtesy time.Duration) time.Duration {
	b.mu.Lock()
	s := b.seen
	b.mu.Unlock()
	switch s.state {
	case Open:
		probe := s.since.Add(b.cfg.OpenFor + margin + courtesy)
		return max(time.Until(probe), 0)
	case HalfOpen:
		if counts := b.cb.Counts(); counts.Requests > counts.TotalExclusions {
			return probeWait
		}
		return max(time.Until(s.since.Add(courtesy)), 0)
	}
	return 0
}

// Snapshot is a Breaker at one instant, as operators see it.
type Snapshot struct {
	Name  string `json:"name"`
	State State  `json:"state"` // "closed", "half-open", "open"
	// Failures is the faults within the window; unless it is closed, those that opened it.
	Failures int       `json:"failures"`
	Since    time.Time `json:"since"` // when State began
	// RetryAfterMS is how long calls will still be refused, in milliseconds. An open
	// breaker with 0 has sat its time out and waits for a call to probe with.
	RetryAfterMS int64 `json:"retryAfterMs"`
	// LastFault is the text of the latest fault, "" when there was none.
	LastFault string `json:"lastFault,omitempty"`
}

// State tells where the Breaker stands. Looking changes nothing.
func (b *Breaker) State() Snapshot {
	b.mu.Lock()
	s := b.seen
	b.mu.Unlock()
	if s.state == Closed {
		b.cb.State() // lets the window roll, which otherwise only calls do
		s.failures = int(b.cb.Counts().TotalFailures)
	}
	wait := b.Wait(0)
	return Snapshot{
		Name: b.cfg.Name, State: s.state, Failures: s.failures, Since: s.since.UTC(),
		RetryAfterMS: (wait + time.Millisecond - 1).Milliseconds(), LastFault: s.fault,
	}
}
