package schema

import (
	"fmt"
	"time"
)

// Waiting is why an event can be neither decoded nor encoded now: the registry has not
// said yet what is needed for it. Errors that hold one are of kind errs.Transient. It
// costs nothing to wait for: the question is asked in the background, once for all who
// need its answer.
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

// RetryAfter returns how long it takes at most until something has changed (see
// errs.RetryAfter). News may come earlier.
func (w *Waiting) RetryAfter() time.Duration { return w.wait }

// News is closed when the codec has heard from the registry since.
func (w *Waiting) News() <-chan struct{} { return w.news }

// RegistryDown reports whether the registry is at fault: it cannot be asked, does not
// answer, or does not have what it must have. It is false for a registry that works and
// is merely asked about an id it does not know, and for one that was asked just now.
func (w *Waiting) RegistryDown() bool { return w.down }
