// Package service runs the components of one process and answers the questions
// of whoever operates it.
//
// It guarantees that components start in the order given and stop in reverse
// order, each only after the one started later has ended; that an error or a
// panic of any component stops the others and is what Run returns; and that a
// stop takes no longer than the graceful period. It does not restart a
// component: transient errors are retried inside it, the process is restarted
// by whatever runs it. It does not wait for a component to be ready before the
// next starts; readiness is Health's answer.
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

// Component is one part of the process. Run works until ctx is done, then
// finishes what it holds and returns nil or ctx's error. Returning nil earlier
// means that its work is done; an error at any time ends the process.
type Component struct {
	Name string
	Run  func(ctx context.Context) error
}

type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed after err is set
	err    error
}

// Run starts the components in order and blocks until ctx is done or a component
// fails; then it stops them in reverse order. Together they have the graceful
// period for that; after it the rest is cancelled at once and left behind, and
// the error names them. The error is nil when ctx ended it and all stopped
// cleanly.
func Run(ctx context.Context, log *slog.Logger, grace time.Duration, comps ...Component) error {
	failed := make(chan struct{}, len(comps))
	all := make([]*running, 0, len(comps))
	for _, c := range comps {
		// A component's context outlives ctx: it is cancelled when its turn comes.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		r := &running{name: c.Name, cancel: cancel, done: make(chan struct{})}
		all = append(all, r)
		log.InfoContext(ctx, "component starts", "component", c.Name)
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
	var problems []error
	var late []string
	for i := len(all) - 1; i >= 0; i-- {
		r := all[i]
		r.cancel()
		if len(late) > 0 {
			// The period is over: whoever has not ended by now is left behind.
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
		log.InfoContext(ctx, "component stopped", "component", r.name)
	}
	if len(late) > 0 {
		problems = append(problems, fmt.Errorf("not stopped within %s: %s", grace, strings.Join(late, ", ")))
	}
	return errors.Join(problems...)
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
