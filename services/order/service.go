// Package order assembles the order service: its settings, its subscription table and its special
// parts. The aggregate is in the folder order and the use cases are in internal/app. Package
// pkg/participant holds what all services share and documents its guarantees.
//
// The workers stop before the consumer.
package order

import (
	"context"
	"embed"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/order/internal/api"
	"eventshop.example/services/order/internal/app"
)

// name is the consumer group and the last part of the source of the events.
const name = "order"

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the components of the service's database in the order of their migrations.
func Components() []postgres.Component {
	return participant.Components(
		eventstore.Component(), httpapi.IdempotencyComponent(),
		postgres.Component{Name: name, FS: migrations, Grants: grants()},
	)
}

// Run runs the service; see [participant.Run].
func Run(ctx context.Context, cfg Config) error {
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: name, Source: "/eventshop/" + name, MetricsPrefix: "eventshop_", Components: Components(), Types: events.Catalogue(), Emits: emits(),
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			orders := app.New(app.Config{
				Pool: kit.Pools.Work, Reads: kit.Pools.Reads, Outbox: kit.Outbox, Log: kit.Log, Registerer: kit.Metrics,
				SagaDeadline: cfg.SagaDeadline, SnapshotEvery: int64(cfg.SnapshotEvery),
				PendingTarget: cfg.PendingTarget, MaxPending: cfg.MaxPending, DraftTTL: cfg.DraftTTL,
			})
			handler, err := api.NewHandler(openapi, orders, kit.Pools.Writes, kit.Outbox.Wake, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(orders),
				Handler:       handler,
				Workers: []service.Component{
					{Name: "deadlines", Run: orders.RunDeadlines},
					{Name: "snapshots", Run: orders.RunSnapshots},
					{Name: "draft list", Run: orders.RunDraftList},
					{Name: "draft expiry", Run: orders.RunDraftExpiry},
				},
			}, err
		},
	})
}
