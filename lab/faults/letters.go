package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/ops/operators"
)

// letters lists the dead letters of a group.
func (w *world) letters(ctx context.Context, group string, f operators.Filter) ([]operators.Summary, error) {
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
		all, err := t.letters(ctx, group, operators.Filter{Key: key})
		return len(all) > 0, err
	})
}

// unparked waits until a group has no waiting records of the key.
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

// tell sends a decision to a process of a group.
func tell[T any](ctx context.Context, w *world, group string, decide func(ctx context.Context, c *operators.Client) (T, error)) (T, error) {
	g, err := w.fleet().Group(group)
	if err != nil {
		var zero T
		return zero, err
	}
	return operators.Change(ctx, g, decide)
}

// resubmit resubmits a dead letter.
func (t *trial) resubmit(ctx context.Context, d operators.Summary) (operators.Outcome, error) {
	return tell(ctx, t.world, d.Group, func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
		return c.Resubmit(ctx, d.ID, "the fault is over", false)
	})
}

// resubmitAll resubmits the open dead letters of a key until there is none: a record that waits
// behind one may have failed before and become a dead letter too. It expects all to be resolved.
func (t *trial) resubmitAll(ctx context.Context, group, key string) error {
	err := eventually(ctx, 30*time.Second, fmt.Sprintf("no dead letter of order %s is left in %s", key, group), func(ctx context.Context) (bool, error) {
		all, err := t.letters(ctx, group, operators.Filter{Status: operators.AnyStatus, Key: key})
		if err != nil {
			return false, err
		}
		left := false
		for _, d := range all {
			if d.Status == operators.Open {
				if _, err := t.resubmit(ctx, d); err != nil {
					return false, err
				}
			}
			left = left || d.Status != operators.Resolved && d.Status != operators.Discarded
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
		all, _, err := g.List(ctx, operators.Filter{}, 0)
		if err != nil {
			return n, err
		}
		n += len(all)
	}
	return n, nil
}

// settleLetters closes the dead letters that a failed fault has left open, so that the next fault
// finds none. It resubmits each, and discards it if that does not help.
func (t *trial) settleLetters(ctx context.Context) error {
	var failures []error
	for _, g := range t.fleet().Groups {
		open, _, err := g.List(ctx, operators.Filter{}, 0)
		failures = append(failures, err)
		for _, d := range open {
			if _, err := t.resubmit(ctx, d); err != nil {
				failures = append(failures, err)
			}
		}
		err = eventually(ctx, 10*time.Second, "what was resubmitted is through", func(ctx context.Context) (bool, error) {
			under, _, err := g.List(ctx, operators.Filter{Status: operators.Resubmitted}, 1)
			return len(under) == 0, err
		})
		failures = append(failures, err)
		if open, _, err = g.List(ctx, operators.Filter{}, 0); err == nil {
			err = t.discardAll(ctx, g.Name, open)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
