package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

// letters lists the dead letters of a group.
func (w *world) letters(ctx context.Context, group string, f ops.Filter) ([]ops.Summary, error) {
	g, err := w.fleet().Group(group)
	if err != nil {
		return nil, err
	}
	all, _, err := g.List(ctx, f, 0)
	return all, err
}

// deadLetter waits until a group has an open dead letter of the key.
func (t *trial) deadLetter(ctx context.Context, group, key string) error {
	return eventually(ctx, 30*time.Second, fmt.Sprintf("%s has a dead letter of order %s", group, key), func(ctx context.Context) (bool, error) {
		all, err := t.letters(ctx, group, ops.Filter{Key: key})
		return len(all) > 0, err
	})
}

// unparked waits until a group has nothing of the key waiting any more.
func (t *trial) unparked(ctx context.Context, group, key string) error {
	g, err := t.fleet().Group(group)
	if err != nil {
		return err
	}
	return eventually(ctx, 30*time.Second, fmt.Sprintf("%s has nothing of order %s parked", group, key), func(ctx context.Context) (bool, error) {
		keys, err := g.ParkedOf(ctx, key)
		return len(keys) == 0, err
	})
}

// tell has a process of a group decide.
func tell[T any](ctx context.Context, w *world, group string, decide func(ctx context.Context, c *ops.Client) (T, error)) (T, error) {
	g, err := w.fleet().Group(group)
	if err != nil {
		var zero T
		return zero, err
	}
	return ops.Tell(ctx, g, decide)
}

// resubmit has a dead letter tried again.
func (t *trial) resubmit(ctx context.Context, d ops.Summary) (ops.Outcome, error) {
	return tell(ctx, t.world, d.Group, func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
		return c.Resubmit(ctx, d.ID, "the fault is over", false)
	})
}

// resubmitAll resubmits the open dead letters of a key until there is none: what waits
// behind one may have failed before and be given up too. It expects all to be resolved.
func (t *trial) resubmitAll(ctx context.Context, group, key string) error {
	err := eventually(ctx, 30*time.Second, fmt.Sprintf("no dead letter of order %s is left in %s", key, group), func(ctx context.Context) (bool, error) {
		all, err := t.letters(ctx, group, ops.Filter{Status: ops.AnyStatus, Key: key})
		if err != nil {
			return false, err
		}
		left := false
		for _, d := range all {
			if d.Status == ops.Open {
				if _, err := t.resubmit(ctx, d); err != nil {
					return false, err
				}
			}
			left = left || d.Status != ops.Resolved && d.Status != ops.Discarded
		}
		return !left, nil
	})
	if err != nil {
		return err
	}
	return t.unparked(ctx, group, key)
}

// openLetters counts the open dead letters of all groups.
func (w *world) openLetters(ctx context.Context) (n int, err error) {
	for _, g := range w.fleet().Groups {
		all, _, err := g.List(ctx, ops.Filter{}, 0)
		if err != nil {
			return n, err
		}
		n += len(all)
	}
	return n, nil
}

// settleLetters decides about the dead letters that a fault which failed has left open, so
// that the next one finds none: each is tried again, and given up when that does not help.
func (t *trial) settleLetters(ctx context.Context) error {
	var failures []error
	for _, g := range t.fleet().Groups {
		open, _, err := g.List(ctx, ops.Filter{}, 0)
		failures = append(failures, err)
		for _, d := range open {
			if _, err := t.resubmit(ctx, d); err != nil {
				failures = append(failures, err)
			}
		}
		err = eventually(ctx, 10*time.Second, "what was resubmitted is through", func(ctx context.Context) (bool, error) {
			under, _, err := g.List(ctx, ops.Filter{Status: ops.Resubmitted}, 1)
			return len(under) == 0, err
		})
		failures = append(failures, err)
		if open, _, err = g.List(ctx, ops.Filter{}, 0); err == nil {
			err = t.discardAll(ctx, g.Name, open)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
