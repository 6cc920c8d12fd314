// Package app keeps the read models: a file for the events of each service, and
// one for the queries. Every reaction runs in the consumer's transaction and begins
// with the event's row in the timeline: an event that has one already changes
// nothing, whether or not the inbox still knows it. No read model depends on
// which topic was ahead, nor on a dead letter that is resubmitted late, so a
// rebuild from offset 0 gives the same rows.
package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/db"
)

// App is the projections and the queries over them.
type App struct {
	pool *pgxpool.Pool
}

// New returns the use cases over a database.
func New(pool *pgxpool.Pool) *App { return &App{pool: pool} }

// record enters an event into the order's timeline and makes sure the order's
// row is there. Every reaction begins with it and does nothing more where the event is
// not fresh: its row is there already, and with it whatever follows from the event.
// occurredAt is the event's own time: it is the same in every replay.
func record[T events.Event](ctx context.Context, q *db.Queries, e consumer.Event[T], occurredAt time.Time, detail string) (fresh bool, err error) {
	orderID := e.Data.AggregateKey()
	if err := q.TouchOrder(ctx, db.TouchOrderParams{OrderID: orderID, OccurredAt: occurredAt}); err != nil {
		return false, fmt.Errorf("touch order: %w", err)
	}
	n, err := q.AddToTimeline(ctx, db.AddToTimelineParams{
		OrderID: orderID, EventID: e.ID, Topic: e.Topic, EventType: e.Type,
		Version: e.AggregateVersion, OccurredAt: occurredAt, Detail: detail,
	})
	if err != nil {
		return false, fmt.Errorf("add to timeline: %w", err)
	}
	return n > 0, nil
}

// show enters an event that changes nothing but the timeline.
func show[T events.Event](ctx context.Context, tx pgx.Tx, e consumer.Event[T], occurredAt time.Time, detail string) error {
	_, err := record(ctx, db.New(tx), e, occurredAt, detail)
	return err
}

// setStatus enters an order event and the status it stands for, unless a later
// event has set it already.
func setStatus[T events.Event](ctx context.Context, q *db.Queries, e consumer.Event[T], at time.Time, status Status, detail string) (fresh bool, err error) {
	if fresh, err := record(ctx, q, e, at, detail); err != nil || !fresh {
		return false, err
	}
	s := string(status)
	if err := q.SetStatus(ctx, db.SetStatusParams{OrderID: e.Data.AggregateKey(), Status: &s, Version: e.AggregateVersion}); err != nil {
		return false, fmt.Errorf("set status: %w", err)
	}
	return true, nil
}

// Status is an order's status as the read models show it.
type Status string

const (
	Pending    Status = "PENDING"
	Confirmed  Status = "CONFIRMED"
	Shipped    Status = "SHIPPED"
	Delivered  Status = "DELIVERED"
	Cancelling Status = "CANCELLING"
	Cancelled  Status = "CANCELLED"
)
