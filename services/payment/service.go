// Package payment assembles the payment service: its settings, its subscription table and its
// special parts. The aggregate is in the folder payment, the use cases are in internal/app and the
// client of the card gateway is in internal/gateway. Package pkg/participant holds what all
// services share and documents its guarantees.
//
// The worker that returns money stops before the consumer. It first finishes the attempts in
// progress, which takes at most four requests, 2 s each by default. A gateway outage neither ends
// the service nor makes it unready: charges wait in Kafka, and refunds wait in the database.
package payment

import (
	"context"
	"embed"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/payment/internal/api"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
)

// name is the consumer group and the last part of the source of the events.
const name = "payment"

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
			client := gateway.New(cfg.GatewayURL, cfg.GatewayTimeout, kit.Breaker("gateway", cfg.Breaker))
			payments := app.New(app.Config{
				Pool: kit.Pools.Work, Outbox: kit.Outbox, Gateway: client, Log: kit.Log, Registerer: kit.Metrics,
				Refunds: cfg.refunds(),
			})
			handler, err := api.NewHandler(openapi, payments, kit.Pools.Reads, kit.Pools.Writes, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(payments),
				Handler:       handler,
				Workers:       []service.Component{{Name: "returns", Run: payments.ReturnMoney}},
			}, err
		},
	})
}
