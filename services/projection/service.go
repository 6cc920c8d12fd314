// Package projection assembles the projection service: its subscription table and its read models
// (CQRS). It sends no commands and emits no events. Its outbox carries only retries and dead
// letters. Package pkg/participant holds what all services share and documents its guarantees.
package projection

import (
	"context"
	"embed"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/service"
	"eventshop.example/services/projection/internal/activity"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/history"
	"eventshop.example/services/projection/internal/revenue2"
)

// name is the consumer group and the last part of the source of the events.
const name = "projection"

// gather is the consumer's: the read models are behind by so much more at most, and a saga of thirteen
// events takes a third of the transactions (docs/adr/0012-*).
const gather = 50 * time.Millisecond

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the components of the service's database in the order of their migrations.
func Components() []postgres.Component {
	return participant.Components(position.Component(), postgres.Component{Name: name, FS: migrations, Grants: grants()},
		projection.Component(), history.Component(), activity.Component(), revenue2.Component())
}

// Run runs the service; see [participant.Run].
func Run(ctx context.Context, cfg Config) error {
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: name, Source: "/eventshop/" + name, MetricsPrefix: "eventshop_", Components: Components(), Types: events.Catalogue(),
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			models, err := assemble(cfg, kit)
			if err != nil {
				return participant.Parts{}, err
			}
			waiting, lag, err := freshness(cfg, kit, models)
			if err != nil {
				return participant.Parts{}, err
			}
			models.Reached = waiting.Reached
			handler, err := api.NewHandler(openapi, models, waiting, lag, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(models), Handler: handler, Gather: gather,
				Advanced: models.Projections.Advanced, Without: models.Projections.Without, Projections: models.Projections.Control,
				Workers: []service.Component{
					{Name: "projections", Run: models.Projections.Run},
					{Name: "waiting reads", Run: waiting.Run}, {Name: "lag", Run: lag.Run},
				},
			}, err
		},
	})
}
