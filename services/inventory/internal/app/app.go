// Package app holds what inventory does: a file for each command and for each
// event it reacts to. All writes of one reaction, the outbox rows included, go
// through the transaction it is given.
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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/internal/inventory"
)

// App is inventory's use cases. The service creates it once; HTTP and the consumer
// use it at the same time.
type App struct {
	pool   *pgxpool.Pool
	reads  *pgxpool.Pool
	outbox *outbox.Outbox
	log    *slog.Logger
	now    func() time.Time
}

// Config is what an App works with.
type Config struct {
	Pool   *pgxpool.Pool
	Reads  *pgxpool.Pool // what requests look at is read with it; nil: Pool
	Outbox *outbox.Outbox
	Log    *slog.Logger     // nil: the default logger
	Now    func() time.Time // nil: time.Now
}

// New makes an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &App{
		pool:   cfg.Pool,
		reads:  cmp.Or(cfg.Reads, cfg.Pool),
		outbox: cfg.Outbox,
		log:    cfg.Log,
		now:    func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) }, // as the database keeps it
	}
}

// step is one event's effect on one order's reservation.
type step struct {
	orderID string
	input   inventory.Input
	cause   outbox.Cause
	items   []inventory.Item // of OrderCreated only
	reason  string           // of a compensation: why the goods go back
}

// react locks the order's reservation, lets the transition table decide, moves
// the stock and appends the event that tells of it.
func (a *App) react(ctx context.Context, tx pgx.Tx, s step) error {
	q := db.New(tx)
	row, err := a.lock(ctx, q, s.orderID)
	if err != nil {
		return err
	}
	d := inventory.Decide(inventory.State(row.State), s.input)
	if d.Action == inventory.Refuse {
		a.log.InfoContext(ctx, "refused", "event", s.input, "state", row.State)
	}
	if d.Action == inventory.Refuse || d.Action == inventory.Duplicate {
		return nil
	}
	if s.input == inventory.OrderCreated {
		if err := addItems(ctx, q, s); err != nil {
			return err
		}
	}
	row.State = string(d.Next)
	switch d.Effect {
	case inventory.Reserve:
		err = a.reserve(ctx, tx, q, &row, s)
	case inventory.Release:
		err = a.release(ctx, tx, q, &row, s)
	case inventory.Ship:
		err = a.ship(ctx, q, row)
	}
	if err != nil {
		return err
	}
	if err := q.UpdateReservation(ctx, db.UpdateReservationParams{
		OrderID: row.OrderID, State: row.State, Version: row.Version, Shortages: row.Shortages, UpdatedAt: a.now(),
	}); err != nil {
		return fmt.Errorf("store reservation: %w", err)
	}
	return nil
}

// lock returns the order's reservation row, locked until the transaction ends;
// an order never heard of gets one. All reactions to one order queue here, which
// is also what makes the order of outbox rows the order of versions.
func (a *App) lock(ctx context.Context, q *db.Queries, orderID string) (db.Reservation, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return db.Reservation{}, fmt.Errorf("make reservation id: %w", err)
	}
	if err := q.OpenReservation(ctx, db.OpenReservationParams{OrderID: orderID, ReservationID: id, UpdatedAt: a.now()}); err != nil {
		return db.Reservation{}, fmt.Errorf("open reservation: %w", err)
	}
	row, err := q.LockReservation(ctx, orderID)
	if err != nil {
		return db.Reservation{}, fmt.Errorf("lock reservation: %w", err)
	}
	return row, nil
}

func addItems(ctx context.Context, q *db.Queries, s step) error {
	skus, quantities := columns(inventory.Merge(s.items))
	if err := q.AddItems(ctx, db.AddItemsParams{OrderID: s.orderID, Skus: skus, Quantities: quantities}); err != nil {
		return fmt.Errorf("store items: %w", err)
	}
	return nil
}

// append emits one event as the reservation's next version.
func (a *App) append(ctx context.Context, tx pgx.Tx, row *db.Reservation, cause outbox.Cause, e events.Event) error {
	row.Version++
	return a.outbox.Append(ctx, tx, outbox.Entry{Event: e, AggregateID: row.OrderID, Version: row.Version, Cause: cause})
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

// columns splits items into the two arrays the bulk queries take.
func columns(items []inventory.Item) (skus []string, quantities []int64) {
	for _, it := range items {
		skus, quantities = append(skus, it.SKU), append(quantities, it.Quantity)
	}
	return skus, quantities
}

// moved checks that a bulk move of stock touched every SKU it named.
func moved(n int64, err error, items []inventory.Item, what string) error {
	if err != nil {
		return fmt.Errorf("%s stock: %w", what, err)
	}
	if n != int64(len(items)) {
		return errs.New(errs.Internal, "%s stock: %d of %d SKUs found", what, n, len(items))
	}
	return nil
}

// Reservation is what one order holds, held or was refused.
type Reservation struct {
	ID        uuid.UUID
	State     inventory.State
	Items     []inventory.Item
	Shortages []inventory.Shortage
	Version   int64
	UpdatedAt time.Time
}

// Reservation returns one order's reservation; errs.NotFound for an order
// inventory has never heard of.
func (a *App) Reservation(ctx context.Context, orderID string) (Reservation, error) {
	q := db.New(a.reads)
	row, err := q.GetReservation(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Reservation{}, errs.New(errs.NotFound, "no reservation for order %s", orderID)
	}
	if err != nil {
		return Reservation{}, fmt.Errorf("load reservation: %w", err)
	}
	items, err := itemsOf(ctx, q, orderID)
	if err != nil {
		return Reservation{}, err
	}
	r := Reservation{
		ID: row.ReservationID, State: inventory.State(row.State), Items: items,
		Version: row.Version, UpdatedAt: row.UpdatedAt,
	}
	if len(row.Shortages) > 0 {
		if err := json.Unmarshal(row.Shortages, &r.Shortages); err != nil {
			return Reservation{}, fmt.Errorf("stored shortages: %w", err)
		}
	}
	return r, nil
}
