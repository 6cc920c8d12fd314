// Package notification assembles the notification service: its settings, its subscription table and
// its special parts. It mails customers that their order has arrived. The aggregate is in the folder
// notification, the use cases are in internal/app, and the clients of the order service and of the
// mail provider are in internal/orders and internal/mailbox. Package pkg/participant holds what all
// services share and documents its guarantees.
//
// The worker that sends mails stops before the consumer. It first finishes the attempts in progress.
// An outage of the mail provider or of the order service neither ends the service nor makes it
// unready: mails wait in the database, and notifications wait in Kafka.
package notification

import (
	"context"
	"embed"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/service"
	"eventshop.example/services/notification/internal/api"
	"eventshop.example/services/notification/internal/app"
	"eventshop.example/services/notification/internal/mailbox"
	"eventshop.example/services/notification/internal/orders"
	"eventshop.example/services/notification/notification"
)

// name is the consumer group and the last part of the source of the events.
const name = "notification"

// gather is the consumer's: a mail may be so much later (docs/adr/0012-*).
const gather = 50 * time.Millisecond

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
	style, err := notification.ParseStyle(cfg.Style)
	if err != nil {
		return err
	}
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: name, Source: "/eventshop/" + name, MetricsPrefix: "eventshop_", Components: Components(), Types: events.Catalogue(),
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			mails := app.New(app.Config{
				Pool: kit.Pools.Work, Reads: kit.Pools.Reads, Log: kit.Log, Registerer: kit.Metrics, Style: style, Sending: cfg.sending(),
				Orders:  orders.New(cfg.OrderURL, cfg.OrderTimeout, kit.Breaker("order", cfg.OrderBreaker)),
				Mailbox: mailbox.New(cfg.MailboxURL, cfg.MailboxTimeout, kit.Breaker("mailbox", cfg.MailboxBreaker)),
			})
			handler, err := api.NewHandler(openapi, mails, kit.Registry)
			return participant.Parts{
				Subscriptions: subscriptions(mails),
				Handler:       handler,
				Gather:        gather,
				First:         service.Component{Name: "since", Run: mails.Begin},
				Workers:       []service.Component{{Name: "mails", Run: mails.SendMails}},
			}, err
		},
	})
}
