package consumer

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicked is a panic as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// stackOf returns the stack of a failure: that of the handler that panicked, or else that of the
// caller.
func stackOf(err error) []byte {
	if p, ok := errors.AsType[*panicked](err); ok {
		return p.stack
	}
	return debug.Stack()
}

// guard turns a panic into an error that carries the stack. A bug in a handler then fails that
// record and does not end the process.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return f()
}
