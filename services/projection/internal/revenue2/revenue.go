// Package revenue2 is version 2 of the projection of the revenue: by day, currency, SKU and region. The
// region is the country that the order goes to. The money of an order divides between its SKUs by their
// parts of the total, and the parts add up to the amount. Money that arrives before OrderCreated counts
// under an empty SKU and region until then; so the sums of a day equal those of version 1 at any time.
package revenue2

import (
	"context"
	"embed"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/revenue2/db"
)

// Name and Number name the version.
const (
	Name   = "revenue"
	Number = 2
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of the version's tables.
func Component() postgres.Component {
	return postgres.Component{Name: "revenue_v2", Schema: "revenue_v2", FS: migrations, Grants: []postgres.Grant{
		{Table: "revenue_orders", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "revenue_shares", App: "SELECT, INSERT, DELETE"},
		{Table: "revenue_money", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "revenue_items", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "revenue_days", App: "SELECT"},
	}}
}

// Version returns the version.
func Version() projection.Version[app.Fact] {
	return projection.Version[app.Fact]{
		Projection: Name, Number: Number,
		Tables:      []string{"revenue_orders", "revenue_shares", "revenue_money", "revenue_items"},
		Takes:       func(f app.Fact) bool { return f.Created != nil || f.Captured != nil || f.Refunded != nil },
		Fold:        func(all []projection.Event[app.Fact]) (projection.Rows, error) { return fold(all), nil },
		Comparisons: app.RevenueComparisons(),
		Differences: []string{
			"each row has a SKU and a region as well",
			"payments and refunds of a row count those that contain its SKU, so they do not add up to those of a day",
		},
	}
}

// rows is what a set of facts adds.
type rows struct {
	orders  db.LockOrdersParams
	shares  db.AddSharesParams
	money   db.AddMoneyParams
	revenue db.AddRevenueParams
}

// fold is pure: see [projection.Version].
func fold(all []projection.Event[app.Fact]) rows {
	var r rows
	ids, facts := app.ByOrder(all)
	for _, id := range ids {
		r.revenue.Orders = append(r.revenue.Orders, id)
		var created *events.OrderCreated
		for _, f := range facts[id] {
			if created == nil {
				created = f.Created // an order is created once
			}
			r.addMoney(id, f)
		}
		region := ""
		if created != nil {
			region = created.ShippingAddress.Country
			r.addShares(id, created.Items)
		}
		r.orders.OrderIds, r.orders.Regions = append(r.orders.OrderIds, id), append(r.orders.Regions, region)
		r.orders.Created = append(r.orders.Created, created != nil)
	}
	return r
}

func (r *rows) addMoney(orderID string, f app.Fact) {
	moved := f.Captured
	if moved == nil {
		moved = f.Refunded
	}
	if moved == nil {
		return
	}
	m := &r.money
	m.OrderIds, m.EventIds, m.Days = append(m.OrderIds, orderID), append(m.EventIds, f.EventID), append(m.Days, app.Day(f.At))
	m.Currencies, m.Amounts = append(m.Currencies, moved.Currency), append(m.Amounts, moved.Amount)
	m.Payment = append(m.Payment, f.Captured != nil)
	r.revenue.MoneyOrders, r.revenue.Days, r.revenue.Currencies = m.OrderIds, m.Days, m.Currencies
	r.revenue.Amounts, r.revenue.Payment = m.Amounts, m.Payment
}

// addShares adds a line per SKU, each with the sum of all lines up to it. The sums can exceed int64.
func (r *rows) addShares(orderID string, items []events.OrderItem) {
	sums := map[string]*big.Int{}
	for _, it := range items {
		line := new(big.Int).Mul(big.NewInt(int64(it.Quantity)), big.NewInt(it.UnitPrice))
		if sum, ok := sums[it.SKU]; ok {
			line.Add(line, sum)
		}
		sums[it.SKU] = line
	}
	if len(sums) == 0 {
		sums[""] = new(big.Int) // the money of an order without items has a place as well
	}
	upTo := new(big.Int)
	for i, sku := range slices.Sorted(maps.Keys(sums)) {
		upTo = new(big.Int).Add(upTo, sums[sku])
		s := &r.shares
		s.OrderIds, s.Lines = append(s.OrderIds, orderID), append(s.Lines, int32(i+1))
		s.Skus, s.UpTo = append(s.Skus, sku), append(s.UpTo, pgtype.Numeric{Int: upTo, Valid: true})
	}
}

// Save implements [projection.Rows].
func (r rows) Save(ctx context.Context, tx pgx.Tx) error {
	if err := later(tx, "lock the orders").LockOrders(ctx, r.orders); err != nil {
		return err
	}
	if len(r.shares.OrderIds) > 0 {
		if err := later(tx, "add shares").AddShares(ctx, r.shares); err != nil {
			return err
		}
	}
	if len(r.money.OrderIds) > 0 {
		if err := later(tx, "add money").AddMoney(ctx, r.money); err != nil {
			return err
		}
	}
	return later(tx, "add revenue").AddRevenue(ctx, r.revenue)
}

func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}
