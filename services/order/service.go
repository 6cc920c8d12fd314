// Package order is the order service put together: configuration, wiring and the
// subscription table. The order itself is in internal/order, what is done with it
// in internal/app.
//
// Run guarantees that the parts stop in the reverse of the order they started in;
// HTTP starts first and stops last, so that probes get an answer all the time. A
// database, broker or registry that is down keeps the service from being ready, with
// the reason at /readyz, and does not end it. What ends it is a taken port, a
// migration that fails, and a bug.
package order

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/internal/api"
	"eventshop.example/services/order/internal/app"
)

// name is the consumer group and the last part of the events' source.
const name = "order"

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the migrations of the service's database, in order.
func Components() []postgres.Component {
	return []postgres.Component{
		eventstore.Component(), outbox.Component(), inbox.Component(), httpapi.IdempotencyComponent(),
		{Name: name, FS: migrations},
	}
}

// Run starts the service and returns nil when ctx has ended and all parts have
// stopped, or the error of the part that failed. It is called once.
func Run(ctx context.Context, cfg Config) error {
	log := slog.Default()
	reg := telemetry.NewRegistry()

	pool, err := postgres.Open(ctx, postgres.Config{URL: cfg.DatabaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()
	codec := schema.NewCodec(schema.NewClient(cfg.RegistryURL), emits()...)
	out := outbox.New(codec, "/eventshop/"+name)
	relay := outbox.NewRelay(pool, out, outbox.RelayConfig{Brokers: cfg.Brokers, Logger: log, Registerer: reg})
	orders := app.New(app.Config{
		Pool: pool, Outbox: out, Log: log, Registerer: reg,
		SagaDeadline: cfg.SagaDeadline, SnapshotEvery: int64(cfg.SnapshotEvery),
	})
	reactions, err := consumer.New(consumer.Config{
		Group: name, Brokers: cfg.Brokers, Pool: pool, Codec: codec, Outbox: out,
		Subscriptions: subscriptions(orders), Logger: log, Registerer: reg,
	})
	if err != nil {
		return err
	}
	db := newDatabase(cfg.DatabaseURL, pool, out, log)

	var health service.Health
	health.Add("database", db.ready)
	health.Add("schemas", func(context.Context) error { return codec.Ready() })
	health.Add("broker", reactions.Ready)
	health.Add("stopping", func(context.Context) error { return ctx.Err() }) // no new requests, please
	health.Add("relay", func(context.Context) error { return relay.Ready() })

	handler, err := api.NewHandler(openapi, orders, pool, out.Wake, reg)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.Gate(db.usable, handler))
	operations := service.Operations(&health, reg)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		mux.Handle(path, operations)
	}
	server, _, err := service.Serve("http", cfg.Addr, mux)
	if err != nil {
		return err
	}

	return service.Run(ctx, log, grace,
		server,
		service.Component{Name: "migrate", Run: db.migrate},
		service.Component{Name: "maintenance", Run: db.after(db.maintain)},
		service.Component{Name: "idempotency", Run: db.after(httpapi.PruneLoop(pool))},
		service.Component{Name: "schemas", Run: func(ctx context.Context) error { return registerSchemas(ctx, codec, log) }},
		service.Component{Name: "relay", Run: db.after(relay.Run)},
		service.Component{Name: "consumer", Run: db.after(reactions.Run)},
		service.Component{Name: "deadlines", Run: db.after(orders.RunDeadlines)},
	)
}

// registerSchemas tries until all schemas are registered. A schema the registry
// refuses keeps the service from being ready and is tried again too: mending it is
// done at the registry, and a crash would mend nothing.
func registerSchemas(ctx context.Context, codec *schema.Codec, log *slog.Logger) error {
	for {
		err := codec.KeepRegistering(ctx, emits()...)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		log.ErrorContext(ctx, "schemas are refused by the registry", "error", err)
		if !pause(ctx, refusedPause) {
			return nil
		}
	}
}

// pause waits, and returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
