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
	"net/http"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/shipping/internal/api"
	"eventshop.example/services/shipping/internal/app"
	"eventshop.example/services/shipping/internal/carrier"
)

// name is the consumer group, the source of events (/eventshop/shipping) and what the
// log lines say.
const name = "shipping"

// grace is what all parts together may take to stop.
const grace = 15 * time.Second

// refusedPause is between tries to register schemas the registry refuses.
const refusedPause = 30 * time.Second

//go:embed openapi.yaml
var openapi []byte

//go:embed migrations/*.sql
var migrations embed.FS

// Components lists the migrations of the service's database, in order.
func Components() []postgres.Component {
	return []postgres.Component{outbox.Component(), inbox.Component(), {Name: name, FS: migrations}}
}

// emitted are the types the service publishes, registered before the first is.
func emitted() []events.Type {
	return []events.Type{
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentDispatched](),
		events.TypeOf[events.ShipmentDelivered](),
		events.TypeOf[events.ShipmentCancelled](),
		events.TypeOf[events.ShipmentCancellationRejected](),
	}
}

// Run starts the service and returns nil when ctx has ended and all parts have
// stopped, or the error of the part that failed.
func Run(ctx context.Context, cfg Config) error {
	log, reg := slog.Default(), telemetry.NewRegistry()

	pool, err := postgres.Open(ctx, postgres.Config{URL: cfg.DatabaseURL})
	if err != nil {
		return err
	}
	defer pool.Close()

	codec := schema.NewCodec(schema.NewClient(cfg.RegistryURL), emitted()...)
	box := outbox.New(codec, "/eventshop/"+name)
	relay := outbox.NewRelay(pool, box, outbox.RelayConfig{Brokers: cfg.Brokers, Logger: log, Registerer: reg})
	shipments := app.New(app.Config{
		Pool: pool, Outbox: box, Carrier: carrier.New(cfg.CarrierURL, cfg.CarrierTimeout), Log: log, Registerer: reg,
	})
	reactions, err := consumer.New(consumer.Config{
		Group: name, Brokers: cfg.Brokers, Pool: pool, Codec: codec, Outbox: box,
		Subscriptions: subscriptions(shipments), Logger: log, Registerer: reg,
	})
	if err != nil {
		return err
	}

	db := newDatabase(cfg.DatabaseURL, pool, box, log)

	var health service.Health
	health.Add("database", db.ready)
	health.Add("schemas", func(context.Context) error { return codec.Ready() })
	health.Add("broker", reactions.Ready)
	health.Add("relay", func(context.Context) error { return relay.Ready() })

	routes, err := api.NewHandler(openapi, shipments, reg)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", db.guard(routes))
	operations := service.Operations(&health, reg)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		mux.Handle(path, operations)
	}
	web, _, err := service.Serve("http", cfg.Addr, mux)
	if err != nil {
		return err
	}

	return service.Run(ctx, log, grace,
		web,
		service.Component{Name: "database", Run: db.prepare},
		service.Component{Name: "maintenance", Run: db.after(db.maintain)},
		service.Component{Name: "schemas", Run: func(ctx context.Context) error { return register(ctx, codec, log) }},
		service.Component{Name: "relay", Run: db.after(relay.Run)},
		service.Component{Name: "consumer", Run: db.after(reactions.Run)},
		service.Component{Name: "tracking", Run: db.after(func(ctx context.Context) error { return shipments.Track(ctx, cfg.TrackEvery) })},
	)
}

// register tries until the schemas are registered. One that the registry refuses keeps
// the service from being ready and is tried again too: it is mended at the registry, and
// a crash would mend nothing.
func register(ctx context.Context, codec *schema.Codec, log *slog.Logger) error {
	for {
		err := codec.KeepRegistering(ctx, emitted()...)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		log.ErrorContext(ctx, "schemas are refused by the registry", "error", err)
		if !pause(ctx, refusedPause) {
			return nil
		}
	}
}
