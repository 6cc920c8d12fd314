// Package payment is the payment service put together: configuration, wiring and the
// subscription table. The payment itself is in internal/payment, what is done with it in
// internal/app, the card gateway's API in internal/gateway.
//
// Run guarantees that the parts start in order and stop in reverse: the consumer and the
// worker that returns money stop before the relay, HTTP after them, and the pool closes
// last. A database, broker or registry that is down keeps the service from being ready,
// with the reason at /readyz, and does not end it. A gateway that is down does neither:
// charges wait in Kafka, refunds wait in the database. What ends the service is a taken
// port, a migration that fails, and a bug.
package payment

import (
	"context"
	"embed"
	"log/slog"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/api"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
)

// name is the consumer group and the last part of the events' source.
const name = "payment"

const (
	// grace is what all parts together may take to stop. An attempt under way at the
	// gateway is finished first: four requests of 2 s by default.
	grace = 15 * time.Second
	// attemptRequests is the most an attempt to return money asks of the gateway: void,
	// ask by key, refund, ask by key.
	attemptRequests = 4
	// attemptRest is what an attempt needs besides: a claim and a transaction.
	attemptRest = 2 * time.Second
)

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the migrations of the service's database, in order.
func Components() []postgres.Component {
	return []postgres.Component{
		outbox.Component(), inbox.Component(), retry.Component(), httpapi.IdempotencyComponent(),
		{Name: name, FS: migrations, Grants: grants()},
	}
}

// Run starts the service and returns nil when ctx has ended and all parts have
// stopped, or the error of the part that failed. It is called once.
func Run(ctx context.Context, cfg Config) error {
	log, reg := slog.Default(), telemetry.NewRegistry()

	secured, err := cfg.Kafka.Options()
	if err != nil {
		return err
	}
	pools, err := postgres.OpenPools(ctx, postgres.Config{URL: cfg.DatabaseURL, PasswordFile: cfg.DatabasePasswordFile}, reg)
	if err != nil {
		return err
	}
	defer pools.Close()
	codec := schema.New(schema.Config{
		Client: schema.NewClient(cfg.RegistryURL, schema.WithAccess(cfg.Registry)), WaitFor: emits(), Grace: cfg.SchemaGrace, Registerer: reg,
	})
	out := outbox.New(codec, "/eventshop/"+name)
	failed := retry.New(name, out)
	relay := outbox.NewRelay(pools.Relay, out, outbox.RelayConfig{Brokers: cfg.Brokers, KgoOpts: secured, Logger: log, Registerer: reg})
	gatewayBreaker := breaker.New(breaker.Config{
		Name: "gateway", Failures: cfg.BreakerFailures, Window: cfg.BreakerWindow, OpenFor: cfg.BreakerOpenFor,
		Logger: log, Registerer: reg,
	})
	payments := app.New(app.Config{
		Pool: pools.Work, Outbox: out, Gateway: gateway.New(cfg.GatewayURL, cfg.GatewayTimeout, gatewayBreaker), Log: log, Registerer: reg,
		Refunds: app.Refunds{
			MaxAttempts: cfg.RefundMaxAttempts,
			BackoffBase: cfg.RefundBackoffBase,
			BackoffMax:  cfg.RefundBackoffMax,
			Deadline:    cfg.RefundDeadline,
			Lease:       attemptRequests*cfg.GatewayTimeout + attemptRest,
		},
	})
	reactions, err := consumer.New(consumer.Config{
		Group: name, Brokers: cfg.Brokers, KgoOpts: secured, Pool: pools.Work, Codec: codec, Outbox: out,
		Subscriptions: subscriptions(payments), Retry: cfg.Retry, Logger: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	tables := postgres.NewLifecycle(cfg.DatabaseURL, pools.Work, log, reg, Components(),
		out.Upkeep(pools.Work, cfg.Keep.Outbox),
		inbox.Upkeep(pools.Work, time.Now, cfg.Keep.Inbox),
		postgres.Upkeep{Table: "dead_letters", Prune: func(ctx context.Context) ([]string, error) {
			return nil, failed.Maintain(ctx, pools.Work, time.Now())
		}},
	)

	tables.Mode, tables.Pools = cfg.Migrations, pools

	var health service.Health
	health.Add("database", tables.Ready)
	health.Add("schemas", func(context.Context) error { return codec.Ready() })
	health.Add("consumer", reactions.Ready)
	health.Add("relay", func(context.Context) error { return relay.Ready() })
	health.Add("stopping", func(context.Context) error { return ctx.Err() }) // no new requests, please

	handler, err := api.NewHandler(openapi, payments, pools.Reads, pools.Writes, reg)
	if err != nil {
		return err
	}
	server, _, err := service.Serve("http", cfg.Addr, service.Routes(&health, reg, httpapi.Gate(tables.Prepared, handler)))
	if err != nil {
		return err
	}
	operators, err := operator.Serve(cfg.OperatorAddr, operator.Config{
		Store: failed, Pool: pools.Work, Outbox: out, Codec: codec, Prepared: tables.Prepared, Logger: log, Registerer: reg,
		Breakers: []*breaker.Breaker{gatewayBreaker},
	})
	if err != nil {
		return err
	}

	return service.Run(ctx, log, grace,
		server,
		operators,
		service.Component{Name: "migrate", Run: tables.Migrate},
		service.Component{Name: "maintenance", Run: tables.After(tables.Maintain)},
		service.Component{Name: "schemas", Run: func(ctx context.Context) error { return codec.KeepRegistering(ctx, log, emits()...) }},
		service.Component{Name: "idempotency keys", Run: tables.After(httpapi.PruneLoop(pools.Work))},
		service.Component{Name: "relay", Run: tables.After(relay.Run)},
		service.Component{Name: "consumer", Run: tables.After(reactions.Run)},
		service.Component{Name: "returns", Run: tables.After(payments.ReturnMoney)},
	)
}
