package projection

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/retry"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
)

// freshness returns the reads that wait for a version, and the lag.
func freshness(cfg Config, kit *participant.Kit, models *app.App) (*fresh.Waiting, *fresh.Lag, error) {
	secured, err := cfg.Kafka.Options()
	if err != nil {
		return nil, nil, err
	}
	failed := retry.New(name, kit.Outbox)
	waiting := fresh.New(fresh.Config{
		Versions: models.Versions,
		Parked: func(ctx context.Context, orderIDs []string) (map[string]bool, error) {
			return parked(ctx, kit.Pools.Reads, failed, orderIDs)
		},
		Wait: cfg.ReadWait, Most: cfg.ReadsWaiting, Registerer: kit.Metrics,
	})
	lag := fresh.NewLag(fresh.LagConfig{
		Topics: topicsOf(subscriptions(models)), Brokers: cfg.Brokers, KgoOpts: secured,
		Positions: func(ctx context.Context) (map[position.Partition]int64, error) {
			return position.Read(ctx, kit.Pools.Work, name)
		},
		Versions: models.Projections.Reached,
		Log:      kit.Log, Registerer: kit.Metrics,
	})
	return waiting, lag, nil
}

// parked returns the orders whose own events are parked: the read model cannot advance by itself.
func parked(ctx context.Context, pool *pgxpool.Pool, failed *retry.Store, orderIDs []string) (map[string]bool, error) {
	keys := make([]retry.Key, len(orderIDs))
	for i, id := range orderIDs {
		keys[i] = retry.KeyOf(events.TopicOrderEvents, []byte(id))
	}
	found, err := failed.Parked(ctx, pool, false, keys)
	if err != nil {
		return nil, err
	}
	orders := map[string]bool{}
	for i, key := range keys {
		orders[orderIDs[i]] = found[key]
	}
	return orders, nil
}

// topicsOf lists the topics of subscriptions.
func topicsOf(all []consumer.Subscription) []string {
	var names []string
	for _, s := range all {
		if typ, ok := events.Catalogue().Lookup(s.Type.Name); ok && !slices.Contains(names, typ.Topic) {
			names = append(names, typ.Topic)
		}
	}
	return names
}
