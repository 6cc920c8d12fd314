package schema

import (
	"fmt"
	"time"
)

// Waiting is why an event can be neither decoded nor encoded now: the registry has not answered
// yet. Errors with a Waiting in their chain are of kind errs.Transient. Waiting is cheap: the
// request runs in the background, once for all callers that need its answer.
type Waiting struct {
	what  string        // "look up schema id 7"
	cause error         // of the latest failure; nil while there is none
	wait  time.Duration // until asking again can bring something new
	down  bool
	news  <-chan struct{}
}

func (w *Waiting) Error() string {
	if w.cause == nil {
		return w.what
	}
	return fmt.Sprintf("%s: %v", w.what, w.cause)
}

func (w *Waiting) Unwrap() error { return w.cause }

// RetryAfter returns how long it takes at most until something has changed (see errs.RetryAfter).
// News may be closed earlier.
func (w *Waiting) RetryAfter() time.Duration { return w.wait }

// News is closed when the codec has received an answer of the registry since.
func (w *Waiting) News() <-chan struct{} { return w.news }

// RegistryDown reports whether the registry is at fault: it cannot be asked, does not answer, or
// does not have a schema that it must have. It is false for a working registry that is only asked
// about an unknown id, and for a request that was sent just now.
func (w *Waiting) RegistryDown() bool { return w.down }
