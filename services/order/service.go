// Package order assembles the order service: its settings, its subscription table and its special
// parts. The aggregate is in the folder order and the use cases are in internal/app. Package
// pkg/participant holds what all services share and documents its guarantees.
//
// The workers stop before the consumer.
package order

import (
	"context"
	"embed"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/kafka"
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
				Participants: participants(), ParticipantCheck: cfg.ParticipantCheck,
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
					{Name: "saga style", Run: orders.RunSagaStyle},
					{Name: "participant check", Run: func(ctx context.Context) error { return checkParticipants(ctx, kit, orders) }},
				},
			}, err
		},
	})
}

// checkParticipants runs the check with a client of its own, which is in no consumer group.
func checkParticipants(ctx context.Context, kit *participant.Kit, orders *app.App) error {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(kit.Brokers...)}, kit.KgoOpts...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	return orders.RunParticipantCheck(ctx, func(ctx context.Context, names ...string) ([]kafka.Group, error) {
		return kafka.DescribeGroups(ctx, client, names...)
	})
}
