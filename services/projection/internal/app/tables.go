package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/projection/internal/db"
)

// orders is a set of what is added to the read models.
type orders struct {
	of   map[string]Order
	save func(context.Context, pgx.Tx, []projection.Event[Fact]) error
}

// load reads nothing: no decision depends on what the tables contain. Save compares versions and
// finds the facts that are known, in the statements that write.
func (a *App) load(context.Context, pgx.Tx, []reaction.Step[Fact]) (reaction.Set[Order], error) {
	return orders{map[string]Order{}, a.Projections.Save}, nil
}

// Get implements [reaction.Set].
func (o orders) Get(key string) Order { return o.of[key] }

// Put implements [reaction.Set].
func (o orders) Put(key string, order Order) { o.of[key] = order }

// Save implements [reaction.Set]. It hands the facts to the projections, those of an order in the order
// in which they came.
func (o orders) Save(ctx context.Context, tx pgx.Tx) error {
	var all []projection.Event[Fact]
	for _, key := range slices.Sorted(maps.Keys(o.of)) {
		for _, f := range o.of[key].facts {
			all = append(all, EventOf(key, f))
		}
	}
	return o.save(ctx, tx, all)
}

// EventOf returns a fact of an order as the projections see it.
func EventOf(orderID string, f Fact) projection.Event[Fact] {
	return projection.Event[Fact]{Key: orderID, ID: f.EventID, Topic: f.Topic, Partition: f.Partition, Offset: f.Offset, Fact: f}
}

// ByOrder returns the facts of each order, in the order in which they came, and the orders, sorted.
func ByOrder(events []projection.Event[Fact]) (ids []string, facts map[string][]Fact) {
	facts = map[string][]Fact{}
	for _, e := range events {
		facts[e.Key] = append(facts[e.Key], e.Fact)
	}
	return slices.Sorted(maps.Keys(facts)), facts
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

// addToTimeline adds a row per fact and returns the facts that had none. The timeline is the saga of each
// order; its rows are what the projections of the first release count by. A set may contain the same
// fact twice.
func addToTimeline(ctx context.Context, tx pgx.Tx, events []projection.Event[Fact]) ([]projection.Event[Fact], error) {
	var timeline db.AddToTimelineParams
	for _, e := range events {
		f := e.Fact
		timeline.OrderIds, timeline.EventIds = append(timeline.OrderIds, e.Key), append(timeline.EventIds, f.EventID)
		timeline.Topics, timeline.EventTypes = append(timeline.Topics, f.Topic), append(timeline.EventTypes, f.Type)
		timeline.Versions, timeline.OccurredAt = append(timeline.Versions, f.Version), append(timeline.OccurredAt, f.At)
		timeline.Details = append(timeline.Details, f.Detail)
	}
	added, err := db.New(tx).AddToTimeline(ctx, timeline)
	if err != nil {
		return nil, fmt.Errorf("add to timeline: %w", err)
	}
	left := make(map[db.AddToTimelineRow]bool, len(added))
	for _, row := range added {
		left[row] = true
	}
	var fresh []projection.Event[Fact]
	for _, e := range events {
		row := db.AddToTimelineRow{OrderID: e.Key, EventID: e.ID}
		if left[row] {
			left[row] = false
			fresh = append(fresh, e)
		}
	}
	return fresh, nil
}

// value returns what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
