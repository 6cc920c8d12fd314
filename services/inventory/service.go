// Package inventory assembles the inventory service: its settings, its subscription table and its
// special parts. The aggregate is in the folder inventory and the use cases are in internal/app.
// Package pkg/participant holds what all services share and documents its guarantees.
package inventory

import (
	"context"
	"embed"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/inventory/internal/api"
	"eventshop.example/services/inventory/internal/app"
)

// name is the consumer group and the last part of the source of the events.
const name = "inventory"

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
			stock := app.New(app.Config{Pool: kit.Pools.Work, Reads: kit.Pools.Reads, Outbox: kit.Outbox, Log: kit.Log})
			handler, err := api.NewHandler(openapi, stock, kit.Pools.Writes, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(stock),
				Handler:       handler,
				// Without the initial stock, an order would be rejected for unknown SKUs.
				First: service.Component{Name: "stock seeding", Run: func(ctx context.Context) error {
					return stock.Seed(ctx, cfg.InitialStock)
				}},
			}, err
		},
	})
}
