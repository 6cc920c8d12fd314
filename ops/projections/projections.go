// Package projections operates the versions of the services' read models: which there are, how far a
// rebuild is, and what it changes. It uses the operators' API of the service that has a read model.
package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"eventshop.example/ops/operators"
)

// pollEvery is how often Watch asks for the progress.
const pollEvery = 500 * time.Millisecond

// Versions returns the versions of all read models of the groups, by name and number.
func Versions(ctx context.Context, f *operators.Fleet) ([]operators.ProjectionVersion, []error) {
	answers := operators.AskAll(ctx, f.Groups, func(ctx context.Context, c *operators.Client) ([]operators.ProjectionVersion, error) {
		return c.Projections(ctx)
	})
	var all []operators.ProjectionVersion
	for _, a := range answers {
		all = append(all, a.Value...)
	}
	return all, operators.Failures(answers)
}

// Find returns the group that has a read model of this name.
func Find(ctx context.Context, f *operators.Fleet, name string) (operators.Group, error) {
	answers := operators.AskAll(ctx, f.Groups, func(ctx context.Context, c *operators.Client) ([]operators.ProjectionVersion, error) {
		return c.Projections(ctx)
	})
	var names []string
	for _, a := range answers {
		for _, v := range a.Value {
			if v.Projection == name {
				return f.Group(a.From)
			}
			if !slices.Contains(names, v.Projection) {
				names = append(names, v.Projection)
			}
		}
	}
	if failed := operators.Failures(answers); len(failed) > 0 {
		return operators.Group{}, fmt.Errorf("no service that answers has a projection %q: %w", name, failed[0])
	}
	return operators.Group{}, fmt.Errorf("there is no projection %q; there are %v", name, names)
}

// Status returns the versions of one read model.
func Status(ctx context.Context, g operators.Group, name string) ([]operators.ProjectionVersion, error) {
	return operators.Ask(ctx, g, func(ctx context.Context, c *operators.Client) ([]operators.ProjectionVersion, error) {
		return c.Projection(ctx, name)
	})
}

// Watch calls note with each state of a version until it is no longer filled, and returns the last one. It
// goes on while the service does not answer, which a restart does not.
func Watch(ctx context.Context, g operators.Group, name string, version int32, note func(operators.ProjectionVersion)) (operators.ProjectionVersion, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		all, err := Status(ctx, g, name)
		i := slices.IndexFunc(all, func(v operators.ProjectionVersion) bool { return v.Version == version })
		switch {
		case ctx.Err() != nil:
			return operators.ProjectionVersion{}, ctx.Err()
		case err != nil:
		case i < 0:
			return operators.ProjectionVersion{}, fmt.Errorf("%s has no version %d any more", name, version)
		default:
			note(all[i])
			if all[i].State != operators.Filling {
				return all[i], nil
			}
		}
		select {
		case <-ctx.Done():
			return operators.ProjectionVersion{}, ctx.Err()
		case <-tick.C:
		}
	}
}
