// Package participant wires what every service that takes part in a saga has in common: pools,
// codec, outbox, relay, consumer, upkeep of the tables, readiness, the HTTP server and the
// operators' listener. A service passes a [Spec], which lists what is special about it, and its
// [Config].
//
// [Run] guarantees:
//
//   - The parts start in one order and stop in the reverse of it: the service's own workers before
//     the consumer, the consumer before the relay, HTTP after them all. The pools close last.
//     Together the parts have 15 s to stop.
//   - HTTP listens from the start to the end, so that probes always get an answer. Requests to the
//     API are answered 503 until the tables can be used.
//   - No part uses the database before its tables are up to date.
//   - A database, a broker or a registry that is down keeps the service from being ready, with the
//     reason at /readyz, and does not end it. Only a taken port, settings that cannot be used, a
//     migration that fails for good, and a bug end it.
//
// The package depends on no service. It does not restart a part that fails; the supervisor of the
// process restarts the process.
package participant

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
)

// grace is how long all parts together may take to stop. The supervisor of the process should wait
// longer before it kills the process.
const grace = 15 * time.Second

// Spec is what is special about one service.
type Spec struct {
	Name   string // the consumer group
	Source string // ce_source of the events that the service publishes

	// MetricsPrefix begins the names of all metrics but those of the Go runtime, the process and
	// HTTP, which have the same names in every system: "library_" exports outbox_held_keys as
	// library_outbox_held_keys. It may be empty.
	MetricsPrefix string

	// Components are the migrations of the service's database, in order; see [Components]. When
	// httpapi.IdempotencyComponent is among them, its old keys are pruned. When position.Component
	// is, the consumer stores positions in place of receipts; see [consumer.Config].
	Components []postgres.Component

	Types event.Catalogue // of what the service subscribes to and what it publishes

	// Emits lists every event type that the service publishes. Their schemas are registered at the
	// start. It is empty for a service that publishes none.
	Emits []event.Type

	// Build creates the service's own parts. It is called once, before any part starts.
	Build func(kit *Kit) (Parts, error)
}

// has reports whether the service's database has a component.
func (s Spec) has(component postgres.Component) bool {
	return slices.ContainsFunc(s.Components, func(c postgres.Component) bool { return c.Name == component.Name })
}

// Kit is what a service uses to build its own parts.
type Kit struct {
	Pools    *postgres.Pools
	Outbox   *outbox.Outbox
	Log      *slog.Logger
	Codec    *schema.Codec         // of [Spec.Types]
	Failed   *retry.Store          // of the group
	Brokers  []string              // host:port
	KgoOpts  []kgo.Opt             // TLS and SASL
	Registry *prometheus.Registry  // of the process, for metrics with names of their own
	Metrics  prometheus.Registerer // registers with [Spec.MetricsPrefix] in Registry

	breakers []*breaker.Breaker
}

// Breaker returns a circuit breaker around the named dependency. Operators can see it.
func (k *Kit) Breaker(name string, b Breaker) *breaker.Breaker {
	guard := breaker.New(breaker.Config{
		Name: name, Failures: b.Failures, Window: b.Window, OpenFor: b.OpenFor, Logger: k.Log, Registerer: k.Metrics,
	})
	k.breakers = append(k.breakers, guard)
	return guard
}

// Parts are a service's own parts.
type Parts struct {
	Subscriptions []consumer.Subscription
	Handler       http.Handler // of the API

	// Gather is that of [consumer.Config]. It is for services that no step of a saga waits for.
	Gather time.Duration

	// First is done once, before the consumer reads its first record. It is tried again while it
	// fails by the environment's fault. Its name is written to the log. The zero value does
	// nothing.
	First service.Component

	// Advanced takes part in the transactions in which the consumer moves its positions; see
	// consumer.Config. nil: nothing does.
	Advanced func(ctx context.Context, tx pgx.Tx, moves []position.Move) error

	// Without reports whether a transaction of the consumer can be repeated without what failed; see
	// consumer.Config. nil: it cannot.
	Without func(err error) bool

	// Projections is what operators can do with the versions of the service's read models; nil for a
	// service that has none.
	Projections *projection.Control

	// Workers run beside the consumer, as soon as the tables can be used. They start after it and
	// stop before it.
	Workers []service.Component
}

// Components returns the migrations of every participant's tables, followed by more.
func Components(more ...postgres.Component) []postgres.Component {
	return append([]postgres.Component{outbox.Component(), inbox.Component(), retry.Component()}, more...)
}

// Run starts the service. It returns nil when ctx has ended and all parts have stopped, or the
// error of the part that failed. It is called once per process.
func Run(ctx context.Context, cfg Config, spec Spec) error {
	kit := &Kit{Log: slog.Default(), Registry: telemetry.NewRegistry()}
	kit.Metrics = prometheus.WrapRegistererWithPrefix(spec.MetricsPrefix, kit.Registry)
	secured, err := cfg.Kafka.Options()
	if err != nil {
		return err
	}
	kit.Pools, err = postgres.OpenPools(ctx, postgres.Config{URL: cfg.DatabaseURL, PasswordFile: cfg.DatabasePasswordFile}, kit.Metrics)
	if err != nil {
		return err
	}
	defer kit.Pools.Close()
	codec := schema.New(schema.Config{
		Types: spec.Types, Client: schema.NewClient(cfg.RegistryURL, schema.WithAccess(cfg.Registry)),
		WaitFor: spec.Emits, Grace: cfg.SchemaGrace, Registerer: kit.Metrics,
	})
	kit.Outbox = outbox.New(outbox.Config{
		Source: spec.Source, Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode,
	})
	kit.Codec, kit.Failed, kit.Brokers, kit.KgoOpts = codec, retry.New(spec.Name, kit.Outbox), cfg.Brokers, secured
	parts, err := spec.Build(kit)
	if err != nil {
		return err
	}
	p := &participant{
		spec: spec, kit: kit, parts: parts, codec: codec,
		failed: kit.Failed,
		relay: relay.New(kit.Pools.Relay, kit.Outbox, relay.Config{
			Brokers: cfg.Brokers, KgoOpts: secured, Logger: kit.Log, Registerer: kit.Metrics,
		}),
	}
	p.reactions, err = consumer.New(consumer.Config{
		Group: spec.Name, Brokers: cfg.Brokers, KgoOpts: secured, Pool: kit.Pools.Work, Outbox: kit.Outbox,
		Types: codec.Types(), Decode: codec.Decode, Encodable: codec.Encodable,
		Subscriptions: parts.Subscriptions, Retry: cfg.Retry, Logger: kit.Log, Registerer: kit.Metrics,
		Positions: spec.has(position.Component()), Advanced: parts.Advanced, Without: parts.Without, Gather: parts.Gather,
	})
	if err != nil {
		return err
	}
	p.tables = p.lifecycle(cfg)
	servers, err := p.listen(ctx, cfg)
	if err != nil {
		return err
	}
	return service.Run(ctx, kit.Log, grace, append(servers, p.components()...)...)
}
