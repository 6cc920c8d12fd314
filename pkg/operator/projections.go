package operator

import (
	"context"
	"net/http"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/projection"
)

func versionOf(s projection.Status) operatorapi.ProjectionVersion {
	v := operatorapi.ProjectionVersion{
		Projection: s.Projection, Version: int32(s.Version), State: operatorapi.ProjectionVersionState(s.State), Known: s.Known,
		Attached: s.Attached, Reason: s.Reason, Done: s.Done, Total: s.Total, PerSecond: s.PerSecond, LeftMs: s.Left().Milliseconds(),
		Failures: s.Failures, Differences: s.Differences, StartedAt: s.StartedAt, AttachedAt: s.AttachedAt, LiveAt: s.LiveAt,
	}
	for _, f := range s.Listed {
		v.Listed = append(v.Listed, operatorapi.ProjectionFailure{Topic: f.Topic, Partition: f.Partition, Offset: f.Offset, Reason: f.Reason})
	}
	return v
}

func versionsOf(all []projection.Status, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Projections{Versions: make([]operatorapi.ProjectionVersion, 0, len(all))}
	for _, s := range all {
		answer.Versions = append(answer.Versions, versionOf(s))
	}
	return answer, nil
}

// ListProjections handles GET /projections.
func (a *api) ListProjections(w http.ResponseWriter, r *http.Request) {
	if a.Projections == nil {
		a.respond(w, r)(versionsOf(nil, nil))
		return
	}
	a.respond(w, r)(versionsOf(a.Projections.List(r.Context())))
}

// projections returns the service's read models, or an error where it has none.
func (a *api) projections() (*projection.Control, error) {
	if a.Projections == nil {
		return nil, errs.New(errs.NotFound, "the group %s has no projections", a.Store.Group())
	}
	return a.Projections, nil
}

// GetProjection handles GET /projections/{name}.
func (a *api) GetProjection(w http.ResponseWriter, r *http.Request, name operatorapi.Projection) {
	c, err := a.projections()
	if err != nil {
		a.respond(w, r)(nil, err)
		return
	}
	a.respond(w, r)(versionsOf(c.Status(r.Context(), name)))
}

// DiffProjection handles GET /projections/{name}/diff.
func (a *api) DiffProjection(w http.ResponseWriter, r *http.Request, name operatorapi.Projection, p operatorapi.DiffProjectionParams) {
	a.respond(w, r)(a.diff(r.Context(), name, value(p.Version)))
}

func (a *api) diff(ctx context.Context, name string, version int32) (any, error) {
	c, err := a.projections()
	if err != nil {
		return nil, err
	}
	d, err := c.Diff(ctx, name, int(version))
	if err != nil {
		return nil, err
	}
	answer := operatorapi.ProjectionDiff{
		Projection: d.Projection, Live: int32(d.Live), Other: int32(d.Other), Offsets: d.Offsets, Compared: []operatorapi.ProjectionCompared{},
		Declared: append([]string{}, d.Declared...), Failures: d.Failures, Held: d.Held,
	}
	for _, one := range d.Compared {
		v := operatorapi.ProjectionCompared{Name: one.Name, Rows: one.Rows, Differences: one.Differences, Examples: []operatorapi.ProjectionDifference{}}
		for _, e := range one.Examples {
			v.Examples = append(v.Examples, operatorapi.ProjectionDifference(e))
		}
		answer.Compared = append(answer.Compared, v)
	}
	return answer, nil
}

// RebuildProjection handles POST /projections/{name}/rebuild.
func (a *api) RebuildProjection(w http.ResponseWriter, r *http.Request, name operatorapi.Projection, p operatorapi.RebuildProjectionParams) {
	a.respond(w, r)(a.changeProjection(r, p.XOperator, "projection to be rebuilt", func(c *projection.Control, in operatorapi.ProjectionChange) (projection.Status, error) {
		return c.Rebuild(r.Context(), name, int(in.Version))
	}))
}

// SwitchProjection handles POST /projections/{name}/switch.
func (a *api) SwitchProjection(w http.ResponseWriter, r *http.Request, name operatorapi.Projection, p operatorapi.SwitchProjectionParams) {
	a.respond(w, r)(a.changeProjection(r, p.XOperator, "projection switched", func(c *projection.Control, in operatorapi.ProjectionChange) (projection.Status, error) {
		return c.Switch(r.Context(), name, int(in.Version), in.Force)
	}))
}

// DropProjection handles POST /projections/{name}/drop.
func (a *api) DropProjection(w http.ResponseWriter, r *http.Request, name operatorapi.Projection, p operatorapi.DropProjectionParams) {
	a.respond(w, r)(a.changeProjection(r, p.XOperator, "projection dropped", func(c *projection.Control, in operatorapi.ProjectionChange) (projection.Status, error) {
		return c.Drop(r.Context(), name, int(in.Version))
	}))
}

func (a *api) changeProjection(r *http.Request, operator, what string, change func(*projection.Control, operatorapi.ProjectionChange) (projection.Status, error)) (any, error) {
	actor, err := actorOf(operator)
	if err != nil {
		return nil, err
	}
	c, err := a.projections()
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[operatorapi.ProjectionChange](r)
	if err != nil {
		return nil, err
	}
	s, err := change(c, in)
	if err != nil {
		return nil, err
	}
	a.Logger.InfoContext(r.Context(), what, "operator", actor, "projection", s.Projection, "version", s.Version, "force", in.Force)
	return versionOf(s), nil
}
