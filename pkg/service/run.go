// Package service runs the components of one process and serves the paths that its operators need.
//
// It guarantees that components start in the given order and stop in reverse order, each only after
// the one started later has ended. An error or a panic of any component stops the others, and Run
// returns it. A stop takes no longer than the graceful period. The package does not restart a
// component: transient errors are retried inside it, and the supervisor restarts the process. It
// does not wait for a component to be ready before the next starts; [Health] reports readiness.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
)

// Component is one part of the process. Run works until ctx is done, then finishes its current work
// and returns nil or ctx's error. Returning nil earlier means that its work is done. An error at
// any time ends the process.
type Component struct {
	Name string
	Run  func(ctx context.Context) error
}

type running struct {
	name   string
	cancel context.CancelCauseFunc
	done   chan struct{} // closed after err is set
	err    error
}

// Run starts the components in order and blocks until ctx is done or a component fails. Then it
// stops them in reverse order. Together they have the graceful period for that. After it, Run
// cancels the remaining components at once and does not wait for them, and the error names them.
// The error is nil when ctx ended and all components stopped cleanly.
func Run(ctx context.Context, log *slog.Logger, grace time.Duration, comps ...Component) error {
	failed := make(chan struct{}, len(comps))
	all := make([]*running, 0, len(comps))
	for _, c := range comps {
		// A component's context outlives ctx: it is cancelled when its turn comes.
		own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		defer cancel(nil)
		r := &running{name: c.Name, cancel: cancel, done: make(chan struct{})}
		all = append(all, r)
		log.DebugContext(ctx, "component starts", "component", c.Name)
		go func() {
			defer close(r.done)
			if err := call(own, c.Run); err != nil && !(own.Err() != nil && errors.Is(err, context.Canceled)) {
				r.err = fmt.Errorf("%s: %w", c.Name, err)
				failed <- struct{}{}
			}
		}()
	}

	select {
	case <-ctx.Done():
		log.InfoContext(ctx, "stopping", "grace", grace.String())
	case <-failed:
		log.InfoContext(ctx, "stopping because a component failed", "grace", grace.String())
	}
	return stop(ctx, log, grace, all)
}

func stop(ctx context.Context, log *slog.Logger, grace time.Duration, all []*running) error {
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	cause := stopping{by: time.Now().Add(grace)}
	var problems []error
	var late []string
	for i := len(all) - 1; i >= 0; i-- {
		r := all[i]
		r.cancel(cause)
		if len(late) > 0 {
			// The period is over: components that have not ended by now are left behind.
			select {
			case <-r.done:
			default:
				late = append(late, r.name)
				continue
			}
		} else {
			select {
			case <-r.done:
			case <-deadline.C:
				late = append(late, r.name)
				continue
			}
		}
		if r.err != nil {
			problems = append(problems, r.err)
			continue
		}
		log.DebugContext(ctx, "component stopped", "component", r.name)
	}
	if len(late) > 0 {
		problems = append(problems, fmt.Errorf("not stopped within %s: %s", grace, strings.Join(late, ", ")))
	}
	return errors.Join(problems...)
}

// stopping is the cause with which a component's context ends. It carries the end of the graceful
// period.
type stopping struct{ by time.Time }

func (stopping) Error() string { return "the process stops" }

// stopBy returns the time by which a component whose context has ended must have stopped. It is
// known when [Run] stops the component.
func stopBy(ctx context.Context) (by time.Time, known bool) {
	cause, known := errors.AsType[stopping](context.Cause(ctx))
	return cause.by, known
}

// call turns a panic into an error that carries the stack.
func call(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}
