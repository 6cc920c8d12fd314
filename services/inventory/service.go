// Package inventory is the inventory service put together: configuration, wiring
// and the subscription table. The reservation's decisions are in
// internal/inventory, what is done with them in internal/app.
//
// A database, broker or registry that is down keeps the service from being ready,
// with the reason at /readyz, and does not end it. What ends it is a taken port, a
// migration that fails, and a bug.
package inventory

import (
	"context"
	"embed"
	"log/slog"
	"time"

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
	"eventshop.example/services/inventory/internal/api"
	"eventshop.example/services/inventory/internal/app"
)

// name is the consumer group and the last part of the events' source.
const name = "inventory"

const (
	// grace is what all parts together may take to stop.
	grace = 15 * time.Second
)

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the migrations of the service's database, in order.
func Components() []postgres.Component {
	return []postgres.Component{
		outbox.Component(), inbox.Component(), retry.Component(), httpapi.IdempotencyComponent(), {Name: name, FS: migrations, Grants: grants()},
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
	stock := app.New(app.Config{Pool: pools.Work, Reads: pools.Reads, Outbox: out, Log: log})
	reactions, err := consumer.New(consumer.Config{
		Group: name, Brokers: cfg.Brokers, KgoOpts: secured, Pool: pools.Work, Codec: codec, Outbox: out,
		Subscriptions: subscriptions(stock), Retry: cfg.Retry, Logger: log, Registerer: reg,
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

	handler, err := api.NewHandler(openapi, stock, pools.Writes, reg)
	if err != nil {
		return err
	}
	server, _, err := service.Serve("http", cfg.Addr, service.Routes(&health, reg, httpapi.Gate(tables.Prepared, handler)))
	if err != nil {
		return err
	}
	operators, err := operator.Serve(cfg.OperatorAddr, operator.Config{
		Store: failed, Pool: pools.Work, Outbox: out, Codec: codec, Prepared: tables.Prepared, Logger: log, Registerer: reg,
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
		service.Component{Name: "seed", Run: tables.After(tables.Once("stock seeding", func(ctx context.Context) error { return stock.Seed(ctx, cfg.InitialStock) }))},
		service.Component{Name: "idempotency keys", Run: tables.After(httpapi.PruneLoop(pools.Work))},
		service.Component{Name: "relay", Run: tables.After(relay.Run)},
		service.Component{Name: "consumer", Run: tables.After(reactions.Run)},
	)
}
