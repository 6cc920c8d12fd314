package errs

import (
	"errors"
	"time"
)

// RetryAfter returns how long the receiver of err should wait before it tries again, and false when
// err names no wait. An error names its wait by a method RetryAfter() time.Duration, as that of an
// open circuit breaker does. Of several in the chain the outermost counts, of joined errors the
// first. A wait that is over is 0.
//
// The wait comes from the dependency or breaker that refused. It overrules the receiver's own
// backoff, which only counts failures. It says nothing about the kind.
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
