package errs

import (
	"errors"
	"time"
)

// RetryAfter returns how long the receiver of err is asked to wait before it tries
// again, and false when err does not say. An error says so by a method
// RetryAfter() time.Duration, as that of an open circuit breaker does; of several in the
// chain the outermost counts, of joined ones the first. A wait that is over is 0.
//
// The wait is a wish of whoever refused and overrules a backoff of the receiver's own,
// which knows nothing but how often it has failed. It says nothing about the kind.
func RetryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err)
	if !ok {
		return 0, false
	}
	return max(e.RetryAfter(), 0), true
}
