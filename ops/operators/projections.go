package operators

import (
	"context"
	"net/http"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/pkg/operator/operatorapi"
)

// ProjectionWithin bounds a comparison, and a change, of a version with many rows.
const ProjectionWithin = time.Minute

// Projections returns the versions of the group's read models. A process of an earlier release, which
// has no list of them, is no error.
func (c *Client) Projections(ctx context.Context) ([]ProjectionVersion, error) {
	answer, err := decode[operatorapi.Projections](c.api.ListProjections(ctx))
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return answer.Versions, err
}

// Projection returns the versions of one read model, with the records that they do not contain.
func (c *Client) Projection(ctx context.Context, name string) ([]ProjectionVersion, error) {
	answer, err := decode[operatorapi.Projections](c.api.GetProjection(ctx, name))
	return answer.Versions, err
}

// DiffProjection compares a version with the live one. version 0 is the newest that follows. A
// *[jsonhttp.Problem] with status 409 has the reason why they cannot be compared now.
func (g Group) DiffProjection(ctx context.Context, name string, version int32) (ProjectionDiff, error) {
	return try(ctx, g, ProjectionWithin, true, func(ctx context.Context, c *Client) (ProjectionDiff, error) {
		return decode[ProjectionDiff](c.api.DiffProjection(ctx, name, &operatorapi.DiffProjectionParams{Version: optional(version)}))
	})
}

// RebuildProjection begins to fill a version; version 0 is the newest that is not live. A
// *[jsonhttp.Problem] with status 409 has the reason why not.
func (g Group) RebuildProjection(ctx context.Context, name string, version int32) (ProjectionVersion, error) {
	return try(ctx, g, ProjectionWithin, false, func(ctx context.Context, c *Client) (ProjectionVersion, error) {
		return decode[ProjectionVersion](c.api.RebuildProjection(ctx, name, &operatorapi.RebuildProjectionParams{XOperator: c.actor},
			operatorapi.ProjectionChange{Version: version}))
	})
}

// SwitchProjection makes a version live that follows; version 0 is the newest. With force it does so
// although the versions differ. Doing it twice has one effect.
func (g Group) SwitchProjection(ctx context.Context, name string, version int32, force bool) (ProjectionVersion, error) {
	return try(ctx, g, ProjectionWithin, version != 0, func(ctx context.Context, c *Client) (ProjectionVersion, error) {
		return decode[ProjectionVersion](c.api.SwitchProjection(ctx, name, &operatorapi.SwitchProjectionParams{XOperator: c.actor},
			operatorapi.ProjectionChange{Version: version, Force: force}))
	})
}

// DropProjection ends a version that is not live and empties its tables; version 0 is the only one.
func (g Group) DropProjection(ctx context.Context, name string, version int32) (ProjectionVersion, error) {
	return try(ctx, g, ProjectionWithin, false, func(ctx context.Context, c *Client) (ProjectionVersion, error) {
		return decode[ProjectionVersion](c.api.DropProjection(ctx, name, &operatorapi.DropProjectionParams{XOperator: c.actor},
			operatorapi.ProjectionChange{Version: version}))
	})
}
