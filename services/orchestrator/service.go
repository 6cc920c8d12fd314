// Package orchestrator assembles the orchestrator: its settings, its subscription table and its special
// parts. The aggregate, the table of a saga, is in the folder orchestrator and the use cases are in
// internal/app. Package pkg/participant holds what all services share and documents its guarantees.
//
// The worker stops before the consumer. While no process runs, sagas stand where they are: events wait
// in Kafka, and commands that were decided wait in the outbox.
package orchestrator

import (
	"context"
	"embed"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/orchestrator/internal/api"
	"eventshop.example/services/orchestrator/internal/app"
)

// name is the consumer group and the last part of the source of the events.
const name = "orchestrator"

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the components of the service's database in the order of their migrations.
func Components() []postgres.Component {
	return participant.Components(
		httpapi.IdempotencyComponent(),
		postgres.Component{Name: name, FS: migrations, Grants: grants()},
	)
}

// Run runs the service; see [participant.Run].
func Run(ctx context.Context, cfg Config) error {
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: name, Source: "/eventshop/" + name, MetricsPrefix: "eventshop_", Components: Components(), Types: events.Catalogue(), Emits: emits(),
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			sagas := app.New(app.Config{
				Pool: kit.Pools.Work, Reads: kit.Pools.Reads, Outbox: kit.Outbox, Begin: cfg.Definition, Log: kit.Log, Registerer: kit.Metrics,
			})
			handler, err := api.NewHandler(openapi, sagas, kit.Pools.Reads, kit.Pools.Writes, kit.Outbox.Wake, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(sagas),
				Handler:       handler,
				Workers:       []service.Component{{Name: "time limits", Run: sagas.RunDue}},
			}, err
		},
	})
}
