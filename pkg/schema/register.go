package schema

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
)

const (
	// Backoff of KeepRegistering: soon after the registry is back, yet no burden on it.
	registerBackoffMin = 100 * time.Millisecond
	registerBackoffMax = 5 * time.Second
	// refusedPause is between tries to register a schema the registry refuses. Each is
	// an error in the log; an operator has to act before one succeeds.
	refusedPause = 30 * time.Second
	// levelPause is between tries to set a level, whose absence harms nobody today: it
	// guards the schemas of later releases.
	levelPause = 5 * time.Minute
)

// Register learns the ids of the types' schemas, and registers those that the registry
// does not have. Subjects of topics that keep everything (*.events) get the compatibility
// level FULL_TRANSITIVE first; the others stay at the registry's default. Where the
// registry has the schema nothing is written but a level that differs, and a level that
// cannot be written is no failure then: a registry that is read-only and has all schemas
// is as good as any. It is idempotent, and tries every type even when one fails.
//
// Errors: errs.Transient while the registry is down or does not allow what has to be
// written, also for a schema that it finds incompatible with an earlier version: all of
// it is mended at the registry. errs.Hopeless for a type whose schema is none.
func (c *Codec) Register(ctx context.Context, types ...events.Type) error {
	c.mu.Lock()
	for _, t := range types {
		if _, done := c.registered[t.Name]; !done && c.problems[t.Name] == nil {
			c.problems[t.Name] = notRegistered(t)
		}
	}
	c.mu.Unlock()

	var failures []error
	kind := errs.Transient
	for _, t := range types {
		if err := c.register(ctx, t); err != nil {
			failures = append(failures, err)
			if errs.KindOf(err) == errs.Hopeless {
				kind = errs.Hopeless
			}
		}
	}
	if len(failures) > 0 {
		return errs.Wrap(kind, errors.Join(failures...), "register schemas")
	}
	return nil
}

func notRegistered(t events.Type) error {
	return errs.New(errs.Transient, "schema %s is not registered yet", t.Subject)
}

// KeepRegistering calls Register until it succeeds, with a growing pause of 100 ms to
// 5 s while the registry is down, and of 30 s when it refuses something: that is mended at
// the registry, and ending the process would mend nothing. It returns nil when all types
// are registered and their levels set, and ctx's error when ctx ends first. What it waits
// for shows in Ready; a refusal is logged too, as is a level that cannot be set, which is
// tried again every 5 minutes and keeps nothing from being ready.
func (c *Codec) KeepRegistering(ctx context.Context, log *slog.Logger, types ...events.Type) error {
	backoff := registerBackoffMin
	for {
		err := c.Register(ctx, types...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := refusedPause
		switch {
		case err == nil:
			unset := c.unsetLevels()
			if unset == nil {
				return nil
			}
			log.WarnContext(ctx, "compatibility levels could not be set; the schemas are there, so work goes on", "error", unset)
			pause = levelPause
		case errs.KindOf(err) == errs.Hopeless, anyRefused(err):
			log.ErrorContext(ctx, "schemas are refused by the registry; will be tried again", "error", err)
		default:
			// Half of the pause is random, so that replicas started at once spread out.
			pause = backoff/2 + rand.N(backoff/2) //nolint:gosec // spread, not secrecy
			backoff = min(2*backoff, registerBackoffMax)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Ready returns nil when every type that was to be registered is, and the registry can be
// asked for the schemas that are waited for, else why not.
func (c *Codec) Ready() error {
	problems := []error{}
	c.mu.RLock()
	for _, name := range slices.Sorted(maps.Keys(c.problems)) {
		problems = append(problems, c.problems[name])
	}
	c.mu.RUnlock()
	if err := c.lookups.down(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
