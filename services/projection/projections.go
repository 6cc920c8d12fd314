package projection

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/activity"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/history"
	"eventshop.example/services/projection/internal/revenue2"
)

// versions lists the versions of projections that have a Postgres schema of their own. Those of the first
// release are in package app. docs/add-a-projection.md says how to add one.
func versions() []projection.Version[app.Fact] {
	return []projection.Version[app.Fact]{
		history.Version(),
		activity.Version(),
		revenue2.Version(),
	}
}

// assemble returns the read models in all their versions.
func assemble(cfg Config, kit *participant.Kit) (*app.App, error) {
	var replay *consumer.Replay[app.Order, app.Fact]
	models, err := app.Assemble(kit.Pools.Reads, projection.Config[app.Fact]{
		Group: name, Versions: versions(), Pool: kit.Pools.Work, Failed: kit.Failed, Logger: kit.Log, Registerer: kit.Metrics,
		Brokers: kit.Brokers, KgoOpts: kit.KgoOpts, FillSet: cfg.FillSet,
		Topics: []string{events.TopicOrderEvents, events.TopicPaymentEvents, events.TopicInventoryEvents, events.TopicShippingEvents},
		Read: func(ctx context.Context, r *kgo.Record) (e projection.Event[app.Fact], ok bool, err error) {
			read, ok, err := replay.Read(ctx, r)
			if err != nil || !ok {
				return e, false, err
			}
			return app.EventOf(read.Key, read.Input), true, nil
		},
	})
	if err != nil {
		return nil, err
	}
	replay, err = consumer.NewReplay(consumer.Config{
		Types: kit.Codec.Types(), Decode: kit.Codec.Decode, Subscriptions: subscriptions(models),
	}, models.ReadModels)
	return models, err
}
