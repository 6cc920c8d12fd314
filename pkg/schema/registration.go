package schema

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
)

// encodablePause is between tries to register a type that records wait for.
const encodablePause = time.Second

// registration is one try to register a type. All callers that need the type share it.
type registration struct {
	began time.Time
	ended time.Time     // zero while in progress
	done  chan struct{} // closed at its end
	err   error
}

// CanEncode returns nil when events of all the types can be encoded even if the registry becomes
// unavailable. Otherwise it starts registering the missing types in the background, waits for that
// no longer than a healthy registry takes, and returns why they are not registered: an error of
// kind errs.Transient. Callers use it before an action whose outcome only an event can report, such
// as a call to an external system.
func (c *Codec) CanEncode(ctx context.Context, types ...event.Type) error {
	return c.canEncode(types, func(t event.Type) *registration {
		r := c.start(t, 0)
		c.join(ctx, r)
		return r
	})
}

// Encodable is CanEncode without waiting. It has a type registered once per second at most, for
// callers that ask repeatedly. The error has a [Waiting] in its chain.
func (c *Codec) Encodable(types ...event.Type) error {
	return c.canEncode(types, func(t event.Type) *registration { return c.start(t, encodablePause) })
}

func (c *Codec) canEncode(types []event.Type, try func(event.Type) *registration) error {
	for _, t := range types {
		if c.isRegistered(t.Name) {
			continue
		}
		r := try(t)
		if !c.isRegistered(t.Name) {
			return errs.Wrap(errs.Transient, c.whyNot(t, r), "encode "+t.Name)
		}
	}
	return nil
}

// encoder returns the encoder of a type. It registers the type when it is in the catalogue and was
// not registered yet.
func (c *Codec) encoder(ctx context.Context, name string) (encoder, error) {
	c.mu.RLock()
	enc, ok := c.registered[name]
	c.mu.RUnlock()
	if ok {
		return enc, nil
	}
	t, ok := c.types.Lookup(name)
	if !ok {
		return encoder{}, errs.New(errs.Hopeless, "encode %s: neither registered nor in the catalogue", name)
	}
	if err := c.CanEncode(ctx, t); err != nil {
		return encoder{}, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.registered[name], nil
}

func (c *Codec) isRegistered(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.registered[name]
	return ok
}

// register registers one type unless that was done before.
func (c *Codec) register(ctx context.Context, t event.Type) error {
	c.mu.RLock()
	_, done := c.registered[t.Name]
	unset := c.levels[t.Name]
	c.mu.RUnlock()
	if done && unset == nil {
		return nil
	}
	r := c.start(t, 0)
	select {
	case <-ctx.Done():
		return errs.Wrap(errs.Transient, ctx.Err(), "register schema "+t.Subject)
	case <-r.done:
		return r.err
	}
}

// start returns the try in progress to register a type, or one that ended less than a pause ago. If
// there is none, it starts a try, which ends by the client's timeouts.
func (c *Codec) start(t event.Type, pause time.Duration) *registration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.registrations[t.Name]; r != nil && (r.ended.IsZero() || time.Since(r.ended) < pause) {
		return r
	}
	r := &registration{began: time.Now(), done: make(chan struct{})}
	if last := c.registrations[t.Name]; last != nil && last.ended.Sub(last.began) > c.patience {
		r.began = last.began // the registry is slow: new callers do not wait for it
	}
	c.registrations[t.Name] = r
	go func() {
		enc, level, err := c.newEncoder(context.Background(), t)
		c.mu.Lock()
		r.err = c.registeredAs(t, enc, level, err)
		r.ended = time.Now()
		c.mu.Unlock()
		close(r.done)
	}()
	return r
}

// registeredAs stores the result of a try, and returns why the type is not registered. The caller
// has locked mu.
func (c *Codec) registeredAs(t event.Type, enc encoder, level, err error) error {
	if _, done := c.registered[t.Name]; err != nil && done {
		return nil // the error was only about the level
	}
	if err != nil {
		c.metrics.unregistered.Inc()
		c.problems[t.Name] = err
		return err
	}
	delete(c.problems, t.Name)
	if delete(c.levels, t.Name); level != nil {
		c.levels[t.Name] = level
	}
	c.registered[t.Name] = enc
	// The program also reads what it writes, without another request.
	c.keep(enc.id, t.Schema, enc.schema)
	return nil
}

// join waits for a try, no longer than a healthy registry takes.
func (c *Codec) join(ctx context.Context, r *registration) {
	timer := time.NewTimer(c.patience - time.Since(r.began))
	defer timer.Stop()
	select {
	case <-r.done:
		return
	default:
	}
	select {
	case <-r.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// whyNot returns why a type is not registered.
func (c *Codec) whyNot(t event.Type, r *registration) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	w := &Waiting{
		what: "schema " + t.Subject + " is not registered yet", cause: r.err, news: r.done, wait: slow,
		down: r.err != nil || time.Since(r.began) > slow,
	}
	if problem := c.problems[t.Name]; w.cause == nil && problem != nil && problem.Error() != notRegistered(t).Error() {
		w.cause, w.down = problem, true
	}
	if !r.ended.IsZero() {
		w.news = nil // the answer has arrived already
	}
	return w
}

// newEncoder looks up the id of a type's schema, and registers the schema when the registry does
// not have it. level is why its compatibility level could not be set although the registry has the
// schema.
func (c *Codec) newEncoder(ctx context.Context, t event.Type) (enc encoder, level, err error) {
	own, err := parse(t.Schema)
	if err != nil {
		return encoder{}, nil, errs.Wrap(errs.Hopeless, err, t.Subject)
	}
	id, err := c.lookUp(ctx, t)
	missing := err != nil && errs.KindOf(err) == errs.NotFound
	if err == nil || missing {
		level = c.setLevel(ctx, t)
	}
	if missing {
		// Without its level a subject would accept a version that breaks compatibility.
		if err = level; err == nil {
			id, err = c.client.Register(ctx, t.Subject, t.Schema)
		}
	}
	if err != nil {
		return encoder{}, nil, errs.Wrap(errs.Transient, err, "register schema "+t.Subject)
	}
	return encoder{id: id, schema: own, text: t.Schema}, level, nil
}

// lookUp finds the id of a type's schema without writing. When a proxy before the registry forbids
// every POST, including the lookup, it reads version by version.
func (c *Codec) lookUp(ctx context.Context, t event.Type) (int, error) {
	id, err := c.client.Lookup(ctx, t.Subject, t.Schema)
	if err == nil || errs.KindOf(err) == errs.NotFound || !refusal(err) {
		return id, err
	}
	id, searched := c.client.Search(ctx, t.Subject, t.Schema)
	switch {
	case searched == nil:
		return id, nil
	case errs.KindOf(searched) == errs.NotFound:
		return 0, errs.New(errs.Transient, "the registry does not have it and forbids to write: %w", err)
	}
	return 0, err
}

// setLevel sets the level of a long-lived topic's subject, unless it has it.
func (c *Codec) setLevel(ctx context.Context, t event.Type) error {
	level := LevelOf(t.Topic)
	if level == Backward {
		return nil // the registry's default
	}
	if have, err := c.client.Compatibility(ctx, t.Subject); err == nil && have == level {
		return nil
	}
	return c.client.SetCompatibility(ctx, t.Subject, level)
}

// unsetLevels returns why levels could not be set; nil when all are set.
func (c *Codec) unsetLevels() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(c.levels)) {
		all = append(all, c.levels[name])
	}
	return errors.Join(all...)
}

// anyRefused reports whether one of joined errors is a refusal.
func anyRefused(err error) bool {
	switch e := err.(type) { //nolint:errorlint // every error of the chain is looked at
	case nil:
		return false
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), anyRefused)
	}
	if refusal(err) {
		return true
	}
	return anyRefused(errors.Unwrap(err))
}
