// Package worker is what the background workers of services have in common that look for something to
// do: deadlines that pass, a feed that is followed.
//
// [Loop] looks again and again. It looks at once after a round that may have left something, once per
// interval when there is nothing to do, and with growing pauses while rounds fail. [Each] does what a
// round has found as one set, and when that fails, one by one, so that one that fails does not delay the
// others. [Warn] logs each of these failures about its own subject.
//
// # What it does not
//
// It claims nothing and locks nothing. Several processes may run the same loop, and the transactions of
// the rounds have to stand that. It opens no transaction. A worker that is woken, or that has several
// attempts under way at once, needs a loop of its own.
//
// # How it fails
//
// A loop ends with its context and with nothing else. A failure is reported by [Loop].Failed only.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/telemetry"
)

// Loop is a worker that looks for something to do.
type Loop struct {
	// Round looks and does what it finds. more asks for another round at once.
	Round func(ctx context.Context) (more bool, err error)
	// Every is the pause after a round that has succeeded.
	Every time.Duration
	// Failing is the pause after rounds that have failed: Failing.Wait of their number, from 1.
	Failing backoff.Policy
	// Waits returns the pause after an error that is no failure, because it says when to come again, as
	// that of an open circuit breaker does. The pause is at least Every, and the error does not count.
	// nil: every error is a failure.
	Waits func(err error) (pause time.Duration, ok bool)
	// Failed reports a round with an error: how many have failed in succession, and the pause that follows.
	Failed func(ctx context.Context, err error, failures int, pause time.Duration)
	// Recovered reports the first success after a number of failures; nil: nothing to do.
	Recovered func(ctx context.Context, failures int)
}

// Run runs rounds until ctx ends, and returns nil. What fails because ctx has ended is not reported.
func (l Loop) Run(ctx context.Context) error {
	failures := 0
	for {
		more, err := l.Round(ctx)
		pause := l.Every
		after, waits := l.waits(err)
		switch {
		case ctx.Err() != nil:
			return nil
		case waits:
			pause = max(after, l.Every)
			l.Failed(ctx, err, failures, pause)
		case err != nil:
			failures++
			pause = l.Failing.Wait(failures)
			l.Failed(ctx, err, failures, pause)
		default:
			if failures > 0 && l.Recovered != nil {
				l.Recovered(ctx, failures)
			}
			failures = 0
			if more {
				pause = 0
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (l Loop) waits(err error) (pause time.Duration, ok bool) {
	if err == nil || l.Waits == nil {
		return 0, false
	}
	return l.Waits(err)
}

// Error is the failure of one item of a set.
type Error struct {
	Subject string // the id of what the item is about
	Err     error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Subject, e.Err) }

// Unwrap returns the failure.
func (e *Error) Unwrap() error { return e.Err }

// Each does all items as one set. When that fails, it does each of them by itself. do opens a transaction
// each time. The error joins an [Error] for each item that fails by itself.
func Each[T any](ctx context.Context, items []T, subject func(T) string, do func(ctx context.Context, items ...T) error) error {
	if len(items) == 0 || do(ctx, items...) == nil {
		return nil
	}
	var failed []error
	for _, item := range items {
		if err := do(ctx, item); err != nil {
			failed = append(failed, &Error{Subject: subject(item), Err: err})
		}
	}
	return errors.Join(failed...)
}

// Warn logs the failures of a round, each of those that err joins in a line of its own, and an [Error] in
// a line about its subject.
func Warn(ctx context.Context, log *slog.Logger, message string, err error, pause time.Duration) {
	failed := []error{err}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		failed = all.Unwrap()
	}
	for _, err := range failed {
		ctx := ctx
		if one, ok := errors.AsType[*Error](err); ok {
			ctx = telemetry.With(ctx, one.Subject, "", "")
		}
		log.WarnContext(ctx, message, "error", err, "nextTryIn", pause.String())
	}
}
