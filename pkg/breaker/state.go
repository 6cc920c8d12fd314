package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"eventshop.example/pkg/errs"
)

// State is the state of a [Breaker].
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

// OpenError is a call that was refused and not made. It is wrapped in an error of kind
// errs.Transient.
type OpenError struct {
	Name  string        // of the Breaker
	State State         // Open, or HalfOpen while another call is the probe
	After time.Duration // when to try again: what RetryAfter returns
}

// Error returns the breaker's name and state, and how long to wait.
func (e *OpenError) Error() string {
	return fmt.Sprintf("circuit breaker %s is %s: not called, again in %s", e.Name, e.State, e.After.Round(time.Millisecond))
}

// RetryAfter returns the time until the probe is let through. During the probe it returns a short
// time after which the probe's result may be known. errs.RetryAfter finds it.
func (e *OpenError) RetryAfter() time.Duration { return e.After }

func (b *Breaker) refusal(err error) error {
	e := &OpenError{Name: b.cfg.Name, State: HalfOpen, After: probeWait}
	b.mu.Lock()
	s := b.seen
	b.mu.Unlock()
	if errors.Is(err, gobreaker.ErrOpenState) && s.state == Open { // otherwise another call became the probe in the meantime
		e.State, e.After = Open, max(time.Until(s.since.Add(b.cfg.OpenFor)), 0)+margin
	}
	return errs.New(errs.Transient, "%w", e)
}

// Wait returns how long a call would be refused from now on: 0 when it would be let through, and a
// short time when it would meet the probe. It is a forecast for callers that can do other work in
// the meantime. It changes nothing.
//
// courtesy is for callers in the background. They leave the probe to other callers for that long
// after it could have been made, so that a call on which a client waits becomes the probe. When
// none comes, the background caller probes, because otherwise no call would.
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

// Snapshot is a [Breaker] at one instant, as operators see it.
type Snapshot struct {
	Name  string `json:"name"`
	State State  `json:"state"` // "closed", "half-open", "open"
	// Failures is the faults within the window. Unless the breaker is closed, it is those that
	// opened it.
	Failures int       `json:"failures"`
	Since    time.Time `json:"since"` // when State began
	// RetryAfterMS is how long calls will still be refused, in milliseconds. An open breaker with 0
	// has waited its time and needs a call as the probe.
	RetryAfterMS int64 `json:"retryAfterMs"`
	// LastFault is the text of the latest fault, "" when there was none.
	LastFault string `json:"lastFault,omitempty"`
}

// State returns the present state of the Breaker. It changes nothing.
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
