package app

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/db"
)

// revenueVersion is version 1 of the projection of the revenue: by day and currency.
func revenueVersion() projection.Version[Fact] {
	return projection.Version[Fact]{
		Projection: "revenue", Number: 1, Base: true, Tables: []string{"revenue_days"},
		Takes: func(f Fact) bool { return f.Captured != nil || f.Refunded != nil },
		Fold: func(all []projection.Event[Fact]) (projection.Rows, error) {
			var rows revenueRows
			for _, e := range all {
				rows.add(e.Fact)
			}
			return rows, nil
		},
		Comparisons: RevenueComparisons(),
	}
}

// RevenueComparisons returns what every version of the revenue has: version 2 has a view of these columns.
func RevenueComparisons() []projection.Comparison {
	return []projection.Comparison{{Name: "day and currency", Query: `
		SELECT concat_ws(' ', day, currency), concat_ws(' ', captured, refunded, payments, refunds) FROM revenue_days`}}
}

// revenueRows is rows of the table revenue_days.
type revenueRows struct{ db.AddRevenueParams }

// Save implements [projection.Rows].
func (p revenueRows) Save(ctx context.Context, tx pgx.Tx) error {
	return later(tx, "add revenue").AddRevenue(ctx, p.AddRevenueParams)
}

// add adds money to the UTC day on which it was captured or refunded.
func (p *revenueRows) add(f Fact) {
	moved := f.Captured
	if moved == nil {
		moved = f.Refunded
	}
	p.Days, p.Currencies = append(p.Days, Day(f.At)), append(p.Currencies, moved.Currency)
	p.Payment = append(p.Payment, f.Captured != nil)
	p.Captured, p.Refunded = append(p.Captured, value(f.Captured).Amount), append(p.Refunded, value(f.Refunded).Amount)
}

// Day returns the start of the UTC day of an instant.
func Day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
