package app

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/db"
)

// ordersVersion is the projection of the orders by status: one row per order.
func ordersVersion() projection.Version[Fact] {
	return projection.Version[Fact]{
		Projection: "orders", Number: 1, Base: true, Tables: []string{"orders"},
		Fold: func(all []projection.Event[Fact]) (projection.Rows, error) {
			var rows orderRows
			ids, facts := ByOrder(all)
			for _, id := range ids {
				rows.add(fold(id, facts[id]))
			}
			return rows, nil
		},
	}
}

// fold returns what new facts of an order amount to, in the order in which they came. A status or a
// flag that a later event has set does not change.
func fold(orderID string, facts []Fact) (row db.Order) {
	row.OrderID, row.UpdatedAt = orderID, facts[0].At
	for _, f := range facts {
		if f.At.After(row.UpdatedAt) {
			row.UpdatedAt = f.At
		}
		if f.Status != "" && f.Version > row.StatusVersion {
			status := string(f.Status)
			row.Status, row.StatusVersion = &status, f.Version
		}
		if f.Created != nil && row.CreatedAt == nil { // an order is created once
			row = created(row, *f.Created)
		}
		if f.TrackingID != nil {
			row.TrackingID = *f.TrackingID
		}
		if f.CancelReason != nil {
			row.CancelReason = *f.CancelReason
		}
		if f.Attention != nil && f.Version > row.AttentionVersion {
			row.NeedsAttention, row.AttentionVersion = *f.Attention, f.Version
		}
	}
	return row
}

// created adds the data that no other event carries: customer, address, total and the style of the saga.
func created(row db.Order, e events.OrderCreated) db.Order {
	row.CustomerID, row.CustomerName, row.CustomerEmail = &e.Customer.ID, &e.Customer.Name, &e.Customer.Email
	row.Street, row.City = &e.ShippingAddress.Street, &e.ShippingAddress.City
	row.PostalCode, row.Country = &e.ShippingAddress.PostalCode, &e.ShippingAddress.Country
	row.Currency, row.TotalAmount, row.CreatedAt = &e.Currency, &e.TotalAmount, &e.OccurredAt
	row.SagaStyle = new(cmp.Or(e.SagaStyle, string(event.Choreographed)))
	return row
}

// orderRows is rows of the table orders.
type orderRows struct{ db.SaveOrdersParams }

// Save implements [projection.Rows].
func (p orderRows) Save(ctx context.Context, tx pgx.Tx) error {
	return later(tx, "save orders").SaveOrders(ctx, p.SaveOrdersParams)
}

func (p *orderRows) add(r db.Order) {
	p.OrderIds = append(p.OrderIds, r.OrderID)
	p.Statuses, p.StatusVersions = append(p.Statuses, value(r.Status)), append(p.StatusVersions, r.StatusVersion)
	p.Created = append(p.Created, r.CreatedAt != nil)
	p.CustomerIds, p.CustomerNames = append(p.CustomerIds, value(r.CustomerID)), append(p.CustomerNames, value(r.CustomerName))
	p.CustomerEmails, p.Streets = append(p.CustomerEmails, value(r.CustomerEmail)), append(p.Streets, value(r.Street))
	p.Cities, p.PostalCodes = append(p.Cities, value(r.City)), append(p.PostalCodes, value(r.PostalCode))
	p.Countries, p.Currencies = append(p.Countries, value(r.Country)), append(p.Currencies, value(r.Currency))
	p.TotalAmounts, p.CreatedAt = append(p.TotalAmounts, value(r.TotalAmount)), append(p.CreatedAt, value(r.CreatedAt))
	p.SagaStyles = append(p.SagaStyles, value(r.SagaStyle))
	p.TrackingIds, p.CancelReasons = append(p.TrackingIds, r.TrackingID), append(p.CancelReasons, r.CancelReason)
	p.NeedsAttention, p.AttentionVersions = append(p.NeedsAttention, r.NeedsAttention), append(p.AttentionVersions, r.AttentionVersion)
	p.UpdatedAt = append(p.UpdatedAt, r.UpdatedAt)
}
