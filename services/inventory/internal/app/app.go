// Package app holds the use cases of the inventory service. There is one file per event or command
// that the service reacts to, which turns the event into the input of a reservation; stock.go has the
// commands and queries about stock. reservation.go decides, and tables.go loads and saves sets of
// reservations. Package reaction defines the order of these steps.
package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/inventory"
)

// App holds the use cases. The service creates one App; HTTP and the consumer use it concurrently.
type App struct {
	// Reservations applies the inputs from events to reservations.
	Reservations *reaction.Model[Reservation, Input]

	pool  *pgxpool.Pool
	reads *pgxpool.Pool
	log   *slog.Logger
	now   func() time.Time
}

// Config configures an App.
type Config struct {
	Pool   *pgxpool.Pool
	Reads  *pgxpool.Pool // reads for requests use this pool; nil: Pool
	Outbox *outbox.Outbox
	Log    *slog.Logger     // nil: the default logger
	Now    func() time.Time // nil: time.Now
}

// New returns an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &App{
		pool:  cfg.Pool,
		reads: cmp.Or(cfg.Reads, cfg.Pool),
		log:   cfg.Log,
		now:   func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) }, // the precision of the database
	}
	a.Reservations = &reaction.Model[Reservation, Input]{Load: load, Decide: a.decide, Outbox: cfg.Outbox, Now: a.now}
	return a
}

func itemsOf(ctx context.Context, q *db.Queries, orderID string) ([]inventory.Item, error) {
	rows, err := q.ListItems(ctx, orderID)
	if err != nil {
		return nil, fmt.Errorf("load items: %w", err)
	}
	items := make([]inventory.Item, len(rows))
	for i, r := range rows {
		items[i] = inventory.Item{SKU: r.Sku, Quantity: r.Quantity}
	}
	return items, nil
}

// View is the reservation of one order for readers: what it reserves or reserved, or why it was
// rejected.
type View struct {
	ID        uuid.UUID
	State     inventory.State
	Items     []inventory.Item
	Shortages []inventory.Shortage
	Style     event.Style // of the order's saga
	Attention string      // why a person has to look, or ""
	Version   int64
	UpdatedAt time.Time
}

// Reservation returns the reservation of an order. The error has kind errs.NotFound when there is
// no reservation of the order.
func (a *App) Reservation(ctx context.Context, orderID string) (View, error) {
	q := db.New(a.reads)
	row, err := q.GetReservation(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return View{}, errs.New(errs.NotFound, "no reservation for order %s", orderID)
	}
	if err != nil {
		return View{}, fmt.Errorf("load reservation: %w", err)
	}
	items, err := itemsOf(ctx, q, orderID)
	if err != nil {
		return View{}, err
	}
	r := View{
		ID: row.ReservationID, State: inventory.State(row.State), Items: items,
		Style: event.Style(row.SagaStyle), Attention: row.Attention, Version: row.Version, UpdatedAt: row.UpdatedAt,
	}
	if len(row.Shortages) > 0 {
		if err := json.Unmarshal(row.Shortages, &r.Shortages); err != nil {
			return View{}, fmt.Errorf("stored shortages: %w", err)
		}
	}
	return r, nil
}
