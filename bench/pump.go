package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/infra"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
)

const (
	// appendBatch is how many events one transaction appends to a backlog.
	appendBatch = 500
	// backlogKeys is how many orders a backlog is spread over.
	backlogKeys = 20_000
	// pumpWithin bounds a drain that makes no progress.
	pumpWithin = 15 * time.Minute
)

// pump is an outbox with a relay to an empty broker.
type pump struct {
	*infra.Run
	ends      *infra.Ends
	published int64 // so far
}

// newPump returns a pump of its own database.
func newPump(ctx context.Context, in *infra.Infra) (*pump, error) {
	topic, err := infra.Topic(events.TopicOrderEvents)
	if err != nil {
		return nil, err
	}
	run, err := in.NewRun(ctx, "", []event.Topic{topic, event.NewTopic(limit, nil)}, outbox.Component())
	if err != nil {
		return nil, err
	}
	ends, err := run.Ends(topic.Name)
	if err != nil {
		return nil, errors.Join(err, run.Close(ctx))
	}
	return &pump{Run: run, ends: ends}, nil
}

func (p *pump) close(ctx context.Context) error {
	p.ends.Close()
	return p.Close(ctx)
}

// fill appends n events, 500 per transaction.
func (p *pump) fill(ctx context.Context, n int, note func(n int)) error {
	for from := 0; from < n; from += appendBatch {
		var entries []outbox.Entry
		for i := from; i < min(from+appendBatch, n); i++ {
			entries = append(entries, orderCreated(i))
		}
		err := postgres.InTx(ctx, p.Pool, func(tx pgx.Tx) error { return p.Outbox.Append(ctx, tx, entries...) })
		if err != nil {
			return fmt.Errorf("fill the outbox: %w", err)
		}
		note(from + len(entries))
	}
	return nil
}

// running starts the relay, and calls do beside it.
func (p *pump) running(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := relay.New(p.Pool, p.Outbox, relay.Config{Brokers: p.Brokers})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	err := do(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// drain waits until n more events are on the topic, and returns how many per second came since the
// last look that found none. It looks every few milliseconds, which bounds the error.
func (p *pump) drain(ctx context.Context, n int, note func(n int)) (perSecond float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pumpWithin)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var began time.Time
	for {
		looked := time.Now()
		now, err := p.ends.Count(ctx)
		if err != nil {
			return 0, err
		}
		done := now - p.published
		if done == 0 || began.IsZero() {
			began = looked
		}
		note(int(done))
		if done >= int64(n) {
			p.published = now
			return float64(done) / time.Since(began).Seconds(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d events are on the topic: %w", done, n, ctx.Err())
		}
	}
}

// orderCreated returns an event of typical size, about 200 bytes as Avro and 500 in headers.
func orderCreated(i int) outbox.Entry {
	now := time.Now().UTC()
	key := fmt.Sprintf("order-%06d", i%backlogKeys)
	return outbox.Entry{AggregateID: key, Version: int64(i/backlogKeys + 1), Event: events.OrderCreated{
		OrderID:         key,
		Customer:        events.Customer{ID: fmt.Sprintf("customer-%06d", i), Name: "Grace Hopper", Email: "grace@example.com"},
		ShippingAddress: events.Address{Street: "Analytical Street 7", PostalCode: "1843", City: "Arlington", Country: "US"},
		Items: []events.OrderItem{
			{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 1999},
			{SKU: "GADGET-05", Quantity: 1, UnitPrice: 4999},
		},
		TotalAmount: 8997, Currency: "EUR", ConfirmBy: now.Add(time.Hour), OccurredAt: now,
	}}
}
