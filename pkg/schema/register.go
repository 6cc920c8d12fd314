package schema

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
)

const (
	// refusedPause is between tries to register a schema that the registry refuses. Each failed
	// try logs an error; an operator must act before one succeeds.
	refusedPause = 30 * time.Second
	// levelPause is between tries to set a level. A missing level causes no harm now: it protects
	// the schemas of later releases.
	levelPause = 5 * time.Minute
)

// untilRegistered is between tries of KeepRegistering while the registry is down, so that it
// registers soon after the registry recovers, without loading it. Half of a pause is random, so that
// replicas started at once spread out, also when the registry is down for long.
func untilRegistered() backoff.Policy {
	return backoff.Policy{Base: 50 * time.Millisecond, Max: 5 * time.Second, Jitter: 1, Plateau: 2500 * time.Millisecond}
}

// Register looks up the ids of the types' schemas, and registers those that the registry does not
// have. It first sets the compatibility level FULL_TRANSITIVE for subjects of topics that keep
// everything (*.events); the others keep the registry's default. When the registry has the schema,
// Register writes nothing except a differing level, and a level that cannot be written is then no
// failure: a read-only registry that has all schemas is sufficient. Register is idempotent, and
// tries every type even when one fails.
//
// Errors: errs.Transient while the registry is down or does not allow a necessary write, also for a
// schema that it finds incompatible with an earlier version: operators correct all of this at the
// registry. errs.Hopeless for a type without a valid schema.
func (c *Codec) Register(ctx context.Context, types ...event.Type) error {
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

func notRegistered(t event.Type) error {
	return errs.New(errs.Transient, "schema %s is not registered yet", t.Subject)
}

// KeepRegistering calls Register until it succeeds. Between the calls it pauses, growing from 100
// ms to 5 s while the registry is down, and 30 s when the registry refuses something: operators
// correct a refusal at the registry, and ending the process would not help. It returns nil when all
// types are registered and their levels set, and ctx's error when ctx ends first. Ready reports
// what it waits for. It logs a refusal, and a level that cannot be set; it tries the level again
// every 5 minutes, and stays ready meanwhile.
func (c *Codec) KeepRegistering(ctx context.Context, log *slog.Logger, types ...event.Type) error {
	down := 0 // tries in a row that found the registry down
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
			pause = untilRegistered().Wait(down)
			down++
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

// Ready returns nil when every type is registered, and the registry can be asked for the awaited
// schemas. Otherwise it returns the reason.
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
