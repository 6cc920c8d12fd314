// Package history is the projection of the orders of each customer: what each order was worth, and where
// it stands since when.
package history

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/history/db"
)

// Name and Number name the version.
const (
	Name   = "customer_orders"
	Number = 1
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of the version's tables.
func Component() postgres.Component {
	return postgres.Component{Name: "customer_orders_v1", Schema: "customer_orders_v1", FS: migrations, Grants: []postgres.Grant{
		{Table: "customer_orders", App: "SELECT, INSERT, UPDATE, DELETE"},
	}}
}

// Version returns the version.
func Version() projection.Version[app.Fact] {
	return projection.Version[app.Fact]{
		Projection: Name, Number: Number, Tables: []string{"customer_orders"},
		Takes: func(f app.Fact) bool { return f.Status != "" },
		Fold:  func(all []projection.Event[app.Fact]) (projection.Rows, error) { return fold(all), nil },
	}
}

// rows is rows of the table customer_orders.
type rows struct{ db.SaveOrdersParams }

// fold is pure: see [projection.Version].
func fold(all []projection.Event[app.Fact]) rows {
	var r rows
	ids, facts := app.ByOrder(all)
	for _, id := range ids {
		customer, currency, status := "", "", app.Status("")
		var total, pieces, version int64
		var placed, since time.Time
		created := false
		for _, f := range facts[id] {
			if f.Created != nil && !created { // an order is created once
				created, customer, currency = true, f.Created.Customer.ID, f.Created.Currency
				total, placed = f.Created.TotalAmount, f.At
				for _, it := range f.Created.Items {
					pieces += int64(it.Quantity)
				}
			}
			if f.Version > version {
				status, version, since = f.Status, f.Version, f.At
			}
		}
		r.OrderIds, r.Created, r.CustomerIds = append(r.OrderIds, id), append(r.Created, created), append(r.CustomerIds, customer)
		r.Currencies, r.TotalAmounts = append(r.Currencies, currency), append(r.TotalAmounts, total)
		r.Pieces, r.PlacedAt = append(r.Pieces, pieces), append(r.PlacedAt, placed)
		r.Statuses, r.StatusVersions = append(r.Statuses, string(status)), append(r.StatusVersions, version)
		r.StatusAt = append(r.StatusAt, since)
	}
	return r
}

// Save implements [projection.Rows].
func (r rows) Save(ctx context.Context, tx pgx.Tx) error {
	failed := func(err error) error { return fmt.Errorf("save the orders of customers: %w", err) }
	return db.New(postgres.Later(tx, failed)).SaveOrders(ctx, r.SaveOrdersParams)
}
