package main

import (
	"context"
	"fmt"
	"time"

	"eventshop.example/bench/database"
	"eventshop.example/bench/shop"
	"eventshop.example/pkg/event"
)

const (
	// warmup is how many orders open connections and fill caches before a measurement.
	warmup = 40
	// clients is how many requests are in flight at most. Orders are accepted several times as fast
	// as they are confirmed then, so the shop is saturated.
	clients = 16
)

// metered is what a load of orders was and used.
type metered struct {
	placed    shop.Accepted
	usage     database.Usage // of all processes but this one, until the last order is DELIVERED
	perSecond float64        // from the first request until the last order is CONFIRMED
}

// meter measures a load of orders. No other order may be under way.
func (e *env) meter(ctx context.Context, s *shop.Stack, f *shop.Follower, load shop.Load) (m metered, err error) {
	reading, err := s.Server.Meter(ctx, s.PIDs)
	if err != nil {
		return m, err
	}
	began := time.Now()
	if m.placed, err = e.placeAndDeliver(ctx, s, f, load); err != nil {
		return m, err
	}
	if m.usage, err = reading.Read(ctx); err != nil {
		return m, err
	}
	last := began
	for _, at := range f.Confirmed(m.placed.Orders) {
		if at.After(last) {
			last = at
		}
	}
	m.perSecond = float64(load.Orders) / last.Sub(began).Seconds()
	return m, nil
}

// placeAndDeliver places a load and waits until the shop has delivered it. No other order may be under way.
func (e *env) placeAndDeliver(ctx context.Context, s *shop.Stack, f *shop.Follower, load shop.Load) (shop.Accepted, error) {
	confirmedBefore, before := f.Counts()
	placed, err := s.Place(ctx, load, func(n int) { e.progress.Note("%d of %d orders accepted", n, load.Orders) })
	if err != nil {
		return placed, err
	}
	return placed, f.AwaitDelivered(ctx, before+load.Orders, func(confirmed, delivered int) {
		e.progress.Note("%d of %d orders confirmed, %d delivered", confirmed-confirmedBefore, load.Orders, delivered-before)
	})
}

// warm places a few orders and waits until they are delivered. styles are those of the orders, in turns;
// without any, the shop decides.
func (e *env) warm(ctx context.Context, s *shop.Stack, f *shop.Follower, styles ...event.Style) error {
	if _, err := e.placeAndDeliver(ctx, s, f, shop.Load{Orders: warmup, Clients: clients, Styles: styles}); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}
