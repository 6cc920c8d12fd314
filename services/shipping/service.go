// Package shipping is the shipping service put together: configuration, wiring and the
// subscription table. The shipment itself is in internal/shipping, what is done with it
// in internal/app, the carrier's API in internal/carrier.
//
// Run guarantees that the parts start in order and stop in reverse: tracking stops
// before the consumer, the consumer before the relay, HTTP after them, and the pool
// closes last. A database, broker or registry that is down keeps the service from being
// ready, with the reason at /readyz, and does not end it. A carrier that is down does
// neither: what needs it waits, and the rest goes on. What ends the service is a taken
// port, a migration that fails, and a bug.
package shipping

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
	"eventshop.example/services/shipping/internal/api"
	"eventshop.example/services/shipping/internal/app"
	"eventshop.example/services/shipping/internal/carrier"
)

// name is the consumer group and the last part of the events' source.
const name = "shipping"

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
	return []postgres.Component{outbox.Component(), inbox.Component(), retry.Component(), {Name: name, FS: migrations, Grants: grants()}}
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
	guard := breaker.Config{
		Name: "carrier", Failures: cfg.BreakerFailures, Window: cfg.BreakerWindow, OpenFor: cfg.BreakerOpenFor,
		Logger: log, Registerer: reg,
	}
	parcelBreaker := breaker.New(guard)
	guard.Name = "carrier-feed"
	feedBreaker := breaker.New(guard)
	client := carrier.New(cfg.CarrierURL, cfg.CarrierTimeout, carrier.Breakers{Parcels: parcelBreaker, Feed: feedBreaker})
	shipments := app.New(app.Config{
		Pool: pools.Work, Reads: pools.Reads, Outbox: out, Carrier: client, Log: log, Registerer: reg,
	})
	reactions, err := consumer.New(consumer.Config{
		Group: name, Brokers: cfg.Brokers, KgoOpts: secured, Pool: pools.Work, Codec: codec, Outbox: out,
		Subscriptions: subscriptions(shipments), Retry: cfg.Retry, Logger: log, Registerer: reg,
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

	handler, err := api.NewHandler(openapi, shipments, reg)
	if err != nil {
		return err
	}
	server, _, err := service.Serve("http", cfg.Addr, service.Routes(&health, reg, httpapi.Gate(tables.Prepared, handler)))
	if err != nil {
		return err
	}
	operators, err := operator.Serve(cfg.OperatorAddr, operator.Config{
		Store: failed, Pool: pools.Work, Outbox: out, Codec: codec, Prepared: tables.Prepared, Logger: log, Registerer: reg,
		Breakers: []*breaker.Breaker{parcelBreaker, feedBreaker},
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
		service.Component{Name: "relay", Run: tables.After(relay.Run)},
		service.Component{Name: "consumer", Run: tables.After(reactions.Run)},
		service.Component{Name: "tracking", Run: tables.After(func(ctx context.Context) error { return shipments.Track(ctx, cfg.TrackEvery) })},
	)
}
