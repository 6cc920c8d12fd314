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
	// an error in the log; somebody has to act before one succeeds.
	refusedPause = 30 * time.Second
)

// Register registers the types' schemas and learns their ids. Subjects of topics that
// keep everything (*.events) get the compatibility level FULL_TRANSITIVE first; the
// others stay at the registry's default. It is idempotent, and tries every type even
// when one fails.
//
// Errors: errs.Hopeless when the registry refuses a schema, for example as incompatible
// with an earlier version; errs.Transient when the registry is down.
func (c *Codec) Register(ctx context.Context, types ...events.Type) error {
	c.mu.Lock()
	for _, t := range types {
		if _, done := c.registered[t.Name]; !done && c.problems[t.Name] == nil {
			c.problems[t.Name] = errs.New(errs.Transient, "schema %s is not registered yet", t.Subject)
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

// KeepRegistering calls Register until it succeeds, with a growing pause of 100 ms to
// 5 s while the registry is down, and of 30 s when it refuses a schema: that is mended at
// the registry, and ending the process would mend nothing. It returns nil when all types
// are registered and ctx's error when ctx ends first. What it waits for shows in Ready;
// a refusal is logged too.
func (c *Codec) KeepRegistering(ctx context.Context, log *slog.Logger, types ...events.Type) error {
	backoff := registerBackoffMin
	for {
		err := c.Register(ctx, types...)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := refusedPause
		if errs.KindOf(err) == errs.Hopeless {
			log.ErrorContext(ctx, "schemas are refused by the registry; will be tried again", "error", err)
		} else {
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

// Ready returns nil when every type that was to be registered is, else why it is not.
func (c *Codec) Ready() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.problems) == 0 {
		return nil
	}
	problems := make([]error, 0, len(c.problems))
	for _, name := range slices.Sorted(maps.Keys(c.problems)) {
		problems = append(problems, c.problems[name])
	}
	return errors.Join(problems...)
}

// register registers one type unless that was done before.
func (c *Codec) register(ctx context.Context, t events.Type) error {
	c.mu.RLock()
	_, done := c.registered[t.Name]
	c.mu.RUnlock()
	if done {
		return nil
	}
	enc, err := c.newEncoder(ctx, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if _, done := c.registered[t.Name]; !done {
			c.problems[t.Name] = err
		}
		return err
	}
	c.registered[t.Name] = enc
	// What this program writes it also reads, without asking back.
	c.writers[enc.id] = enc.schema
	delete(c.problems, t.Name)
	return nil
}

func (c *Codec) newEncoder(ctx context.Context, t events.Type) (encoder, error) {
	schema, err := parse(t.Schema)
	if err != nil {
		return encoder{}, errs.Wrap(errs.Hopeless, err, t.Subject)
	}
	if longLived(t.Topic) {
		if err := c.client.SetCompatibility(ctx, t.Subject, FullTransitive); err != nil {
			return encoder{}, hopelessUnlessTransient(err)
		}
	}
	id, err := c.client.Register(ctx, t.Subject, t.Schema)
	if err != nil {
		return encoder{}, hopelessUnlessTransient(err)
	}
	return encoder{id: id, schema: schema, text: t.Schema}, nil
}

// encoder returns how to encode a type, registering it when it is in the catalogue and
// was not registered yet.
func (c *Codec) encoder(ctx context.Context, name string) (encoder, error) {
	c.mu.RLock()
	enc, ok := c.registered[name]
	c.mu.RUnlock()
	if ok {
		return enc, nil
	}
	t, ok := events.Lookup(name)
	if !ok {
		return encoder{}, errs.New(errs.Hopeless, "encode %s: neither registered nor in the catalogue", name)
	}
	if err := c.register(ctx, t); err != nil {
		return encoder{}, errs.Wrap(errs.KindOf(err), err, "encode "+name)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.registered[name], nil
}

// hopelessUnlessTransient: a refused schema stays refused.
func hopelessUnlessTransient(err error) error {
	if errs.KindOf(err) == errs.Transient {
		return err
	}
	return errs.New(errs.Hopeless, "%w", err)
}
