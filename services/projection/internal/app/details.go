package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/db"
)

// detailsVersion is the projection of the details of an order: its items, and the timeline of its saga,
// whose rows addToTimeline adds. The rows of the orders are written before, which locks them.
func detailsVersion() projection.Version[Fact] {
	return projection.Version[Fact]{
		Projection: "order_details", Number: 1, Base: true, Tables: []string{"order_items", "timeline"},
		Takes: func(f Fact) bool { return f.Created != nil },
		Fold: func(all []projection.Event[Fact]) (projection.Rows, error) {
			var rows itemRows
			ids, facts := ByOrder(all)
			for _, id := range ids {
				for i, it := range facts[id][0].Created.Items { // those of the first OrderCreated
					rows.OrderIds, rows.Lines = append(rows.OrderIds, id), append(rows.Lines, int32(i+1))
					rows.Skus, rows.Quantities = append(rows.Skus, it.SKU), append(rows.Quantities, int64(it.Quantity))
					rows.UnitPrices = append(rows.UnitPrices, it.UnitPrice)
				}
			}
			return rows, nil
		},
	}
}

// itemRows is rows of the table order_items.
type itemRows struct{ db.AddItemsParams }

// Save implements [projection.Rows].
func (p itemRows) Save(ctx context.Context, tx pgx.Tx) error {
	if len(p.OrderIds) == 0 {
		return nil
	}
	return later(tx, "add items").AddItems(ctx, p.AddItemsParams)
}
