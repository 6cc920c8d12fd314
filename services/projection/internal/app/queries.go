package app

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/projection/internal/db"
)

// newest sorts after every order id in every collation of the database, so a first page begins
// there.
var newest = uuid.Max.String()

// Filter selects orders. An empty field selects all. Before is the id of the last order of the
// previous page. A query returns at most Limit orders.
type Filter struct {
	Status, CustomerID, Before string
	Limit                      int32
}

// Orders returns orders, newest first.
func (a *App) Orders(ctx context.Context, f Filter) ([]db.Order, error) {
	if f.Before == "" {
		f.Before = newest
	}
	q := db.New(a.pool)
	var rows []db.Order
	var err error
	switch {
	case f.Status != "" && f.CustomerID != "":
		rows, err = q.ListOrdersByCustomerAndStatus(ctx, db.ListOrdersByCustomerAndStatusParams{
			CustomerID: f.CustomerID, Status: f.Status, Before: f.Before, MaxRows: f.Limit,
		})
	case f.CustomerID != "":
		rows, err = q.ListOrdersByCustomer(ctx, db.ListOrdersByCustomerParams{
			CustomerID: f.CustomerID, Before: f.Before, MaxRows: f.Limit,
		})
	case f.Status != "":
		rows, err = q.ListOrdersByStatus(ctx, db.ListOrdersByStatusParams{
			Status: f.Status, Before: f.Before, MaxRows: f.Limit,
		})
	default:
		rows, err = q.ListOrders(ctx, db.ListOrdersParams{Before: f.Before, MaxRows: f.Limit})
	}
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return rows, nil
}

// Details is one order with its lines and its timeline so far.
type Details struct {
	Order    db.Order
	Items    []db.OrderItem
	Timeline []db.Timeline
}

// Order returns one order. The error has kind errs.NotFound when the read model does not have it,
// possibly because it lags.
func (a *App) Order(ctx context.Context, orderID string) (Details, error) {
	q := db.New(a.pool)
	o, err := q.GetOrder(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Details{}, errs.New(errs.NotFound, "no order %s in the read model", orderID)
	}
	if err != nil {
		return Details{}, fmt.Errorf("load order: %w", err)
	}
	d := Details{Order: o}
	if d.Items, err = q.ListItems(ctx, orderID); err != nil {
		return Details{}, fmt.Errorf("load items: %w", err)
	}
	if d.Timeline, err = q.ListTimeline(ctx, orderID); err != nil {
		return Details{}, fmt.Errorf("load timeline: %w", err)
	}
	return d, nil
}

// Versions returns the version of the last order event that the read model orders contains, by
// order. An order without one is missing.
func (a *App) Versions(ctx context.Context, orderIDs []string) (map[string]int64, error) {
	rows, err := db.New(a.pool).OrderVersions(ctx, orderIDs)
	if err != nil {
		return nil, fmt.Errorf("load versions: %w", err)
	}
	versions := make(map[string]int64, len(rows))
	for _, r := range rows {
		versions[r.OrderID] = r.StatusVersion
	}
	return versions, nil
}

// RevenueDay is the captured and refunded money of one UTC day in one currency, in minor units. The
// sums can exceed int64. Net can be negative.
type RevenueDay struct {
	Day                     time.Time
	Currency                string
	Captured, Refunded, Net *big.Int
	Payments, Refunds       int64
}

// Revenue returns the days from first to last, both included, that have revenue.
func (a *App) Revenue(ctx context.Context, first, last time.Time) ([]RevenueDay, error) {
	var rows []db.RevenueRow
	err := a.Live(ctx, "revenue", func(tx pgx.Tx, _ int) (err error) { // every version has these columns
		rows, err = db.New(tx).Revenue(ctx, db.RevenueParams{FromDay: first, ToDay: last})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load revenue: %w", err)
	}
	days := make([]RevenueDay, len(rows))
	for i, r := range rows {
		days[i] = RevenueDay{Day: r.Day, Currency: r.Currency, Payments: r.Payments, Refunds: r.Refunds}
		for _, sum := range []struct {
			text string
			into **big.Int
		}{{r.Captured, &days[i].Captured}, {r.Refunded, &days[i].Refunded}, {r.Net, &days[i].Net}} {
			n, ok := new(big.Int).SetString(sum.text, 10)
			if !ok {
				return nil, errs.New(errs.Internal, "revenue of %s in the read model is %q", r.Day.Format(time.DateOnly), sum.text)
			}
			*sum.into = n
		}
	}
	return days, nil
}
