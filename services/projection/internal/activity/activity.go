// Package activity is the projection of what happened to all orders of a customer, event by event.
package activity

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/activity/db"
	"eventshop.example/services/projection/internal/app"
)

// Name and Number name the version.
const (
	Name   = "customer_activity"
	Number = 1
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of the version's tables.
func Component() postgres.Component {
	return postgres.Component{Name: "customer_activity_v1", Schema: "customer_activity_v1", FS: migrations, Grants: []postgres.Grant{
		{Table: "activity_orders", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "customer_activity", App: "SELECT, INSERT, UPDATE, DELETE"},
	}}
}

// Version returns the version.
func Version() projection.Version[app.Fact] {
	return projection.Version[app.Fact]{
		Projection: Name, Number: Number, Tables: []string{"activity_orders", "customer_activity"},
		Fold: func(all []projection.Event[app.Fact]) (projection.Rows, error) { return fold(all), nil },
	}
}

// rows is what a set of facts adds.
type rows struct {
	orders db.LockOrdersParams
	events db.AddActivityParams
	named  []string // orders whose customer the set names
}

// fold is pure: see [projection.Version].
func fold(all []projection.Event[app.Fact]) rows {
	var r rows
	ids, facts := app.ByOrder(all)
	for _, id := range ids {
		customer, created := "", false
		for _, f := range facts[id] {
			if f.Created != nil && !created { // an order is created once
				customer, created = f.Created.Customer.ID, true
				r.named = append(r.named, id)
			}
			e := &r.events
			e.EventIds, e.OrderIds, e.Topics = append(e.EventIds, f.EventID), append(e.OrderIds, id), append(e.Topics, f.Topic)
			e.EventTypes, e.Details = append(e.EventTypes, f.Type), append(e.Details, f.Detail)
			e.OccurredAt = append(e.OccurredAt, f.At)
		}
		r.orders.OrderIds, r.orders.Created = append(r.orders.OrderIds, id), append(r.orders.Created, created)
		r.orders.CustomerIds = append(r.orders.CustomerIds, customer)
	}
	return r
}

// Save implements [projection.Rows].
func (r rows) Save(ctx context.Context, tx pgx.Tx) error {
	if err := later(tx, "lock the orders").LockOrders(ctx, r.orders); err != nil {
		return err
	}
	if err := later(tx, "add activity").AddActivity(ctx, r.events); err != nil || len(r.named) == 0 {
		return err
	}
	return later(tx, "name the customers").NameCustomers(ctx, r.named)
}

func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}
