// Package shipping assembles the shipping service: its settings, its subscription table and its
// special parts. The aggregate is in the folder shipping, the use cases are in internal/app and the
// client of the carrier is in internal/carrier. Package pkg/participant holds what all services
// share and documents its guarantees.
//
// Tracking stops before the consumer. A carrier outage neither ends the service nor makes it
// unready: work that needs the carrier waits, and all other work continues.
package shipping

import (
	"context"
	"embed"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/shipping/internal/api"
	"eventshop.example/services/shipping/internal/app"
	"eventshop.example/services/shipping/internal/carrier"
)

// name is the consumer group and the last part of the source of the events.
const name = "shipping"

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the components of the service's database in the order of their migrations.
func Components() []postgres.Component {
	return participant.Components(postgres.Component{Name: name, FS: migrations, Grants: grants()})
}

// Run runs the service; see [participant.Run].
func Run(ctx context.Context, cfg Config) error {
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: name, Source: "/eventshop/" + name, MetricsPrefix: "eventshop_", Components: Components(), Types: events.Catalogue(), Emits: emits(),
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			breakers := carrier.Breakers{Parcels: kit.Breaker("carrier", cfg.Breaker), Feed: kit.Breaker("carrier-feed", cfg.Breaker)}
			shipments := app.New(app.Config{
				Pool: kit.Pools.Work, Reads: kit.Pools.Reads, Outbox: kit.Outbox, Log: kit.Log, Registerer: kit.Metrics,
				Carrier: carrier.New(cfg.CarrierURL, cfg.CarrierTimeout, breakers),
			})
			handler, err := api.NewHandler(openapi, shipments, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(shipments),
				Handler:       handler,
				Workers: []service.Component{{Name: "tracking", Run: func(ctx context.Context) error {
					return shipments.Track(ctx, cfg.TrackEvery)
				}}},
			}, err
		},
	})
}
