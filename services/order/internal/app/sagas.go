package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"eventshop.example/services/order/internal/db"
)

// SagaFilter selects sagas.
type SagaFilter struct {
	NeedsAttention bool       // only sagas that a person has to look at
	PlacedBefore   *time.Time // nil: any time
	After          uuid.UUID  // the last saga of the previous page
	Limit          int32
}

// Sagas lists the orders that have not ended and those that need attention, oldest first. It reads
// the table that [orders.Save] maintains, not the streams.
func (a *App) Sagas(ctx context.Context, f SagaFilter) ([]db.Saga, error) {
	rows, err := db.New(a.reads).ListSagas(ctx, db.ListSagasParams{
		After: f.After, PlacedBefore: f.PlacedBefore, NeedsAttention: f.NeedsAttention, Most: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list sagas: %w", err)
	}
	return rows, nil
}
