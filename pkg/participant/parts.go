package participant

import (
	"context"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
)

// participant is one service, built and not yet started.
type participant struct {
	spec      Spec
	kit       *Kit
	parts     Parts
	codec     *schema.Codec
	failed    *retry.Store
	relay     *relay.Relay
	reactions *consumer.Consumer
	tables    *postgres.Lifecycle
}

// lifecycle returns the service's tables with their upkeep.
func (p *participant) lifecycle(cfg Config) *postgres.Lifecycle {
	work := p.kit.Pools.Work
	tables := postgres.NewLifecycle(cfg.DatabaseURL, work, p.kit.Log, p.kit.Metrics, p.spec.Components,
		p.kit.Outbox.Upkeep(work, cfg.Keep.Outbox),
		inbox.Upkeep(work, time.Now, cfg.Keep.Inbox),
		postgres.Upkeep{Table: "dead_letters", Prune: func(ctx context.Context) ([]string, error) {
			return nil, p.failed.Maintain(ctx, work, time.Now())
		}},
	)
	tables.Mode, tables.Pools = cfg.Migrations, p.kit.Pools
	return tables
}

// listen opens the ports and returns the components that serve them: the API with the paths of
// probes, and the operators' API. ctx ends when the service stops.
func (p *participant) listen(ctx context.Context, cfg Config) ([]service.Component, error) {
	server, _, err := service.Serve("http", cfg.Addr,
		service.Routes(p.health(ctx), p.kit.Registry, httpapi.Gate(p.tables.Prepared, p.parts.Handler)))
	if err != nil {
		return nil, err
	}
	operators, err := operator.Serve(cfg.OperatorAddr, operator.Config{
		Store: p.failed, Pool: p.kit.Pools.Work, Outbox: admin.Admin{Pool: p.kit.Pools.Work, Wake: p.kit.Outbox.Wake, Refused: p.relay.Refused}, Codec: p.codec, Prepared: p.tables.Prepared,
		Logger: p.kit.Log, Registerer: p.kit.Registry, Breakers: p.kit.breakers, Projections: p.parts.Projections,
	})
	if err != nil {
		return nil, err
	}
	return []service.Component{server, operators}, nil
}

// health returns the checks that must pass for the service to be ready.
func (p *participant) health(ctx context.Context) *service.Health {
	var health service.Health
	health.Add("database", p.tables.Ready)
	health.Add("schemas", func(context.Context) error { return p.codec.Ready() })
	health.Add("consumer", p.reactions.Ready)
	health.Add("relay", func(context.Context) error { return p.relay.Ready() })
	// Not ready while stopping, so that load balancers send no new requests.
	health.Add("stopping", func(context.Context) error { return ctx.Err() })
	return &health
}

// components lists the parts in the order in which they start, without the servers.
func (p *participant) components() []service.Component {
	after := p.tables.After
	all := []service.Component{
		{Name: "migrate", Run: p.tables.Migrate},
		{Name: "maintenance", Run: after(p.tables.Maintain)},
	}
	if len(p.spec.Emits) > 0 {
		all = append(all, service.Component{Name: "schemas", Run: func(ctx context.Context) error {
			return p.codec.KeepRegistering(ctx, p.kit.Log, p.spec.Emits...)
		}})
	}
	consume := p.reactions.Run
	if p.parts.First.Run != nil {
		first, done := p.first()
		all = append(all, service.Component{Name: p.parts.First.Name, Run: after(first)})
		consume = afterwards(done, consume)
	}
	if p.spec.has(httpapi.IdempotencyComponent()) {
		all = append(all, service.Component{Name: "idempotency keys", Run: after(httpapi.PruneLoop(p.kit.Pools.Work))})
	}
	all = append(all,
		service.Component{Name: "relay", Run: after(p.relay.Run)},
		service.Component{Name: "consumer", Run: after(consume)},
	)
	for _, w := range p.parts.Workers {
		all = append(all, service.Component{Name: w.Name, Run: after(w.Run)})
	}
	return all
}

// first returns the part that does [Parts.First], and a channel that is closed when it is done.
func (p *participant) first() (run func(context.Context) error, done <-chan struct{}) {
	closed := make(chan struct{})
	once := p.tables.Once(p.parts.First.Name, p.parts.First.Run)
	return func(ctx context.Context) error {
		// Once also returns nil when ctx ends before the work is done.
		if err := once(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		close(closed)
		return nil
	}, closed
}

// afterwards delays a part until done is closed. A part whose ctx ends first never runs.
func afterwards(done <-chan struct{}, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-done:
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}
