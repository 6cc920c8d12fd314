package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/internal/order"
)

// SagaFilter selects sagas.
type SagaFilter struct {
	NeedsAttention bool       // only those a person has to look at
	PlacedBefore   *time.Time // nil: whenever placed
	After          uuid.UUID  // the last one of the page before
	Limit          int32
}

// Sagas lists the orders that have not ended and those that need attention, oldest
// first. It reads the table that keepSaga holds, not the streams.
func (a *App) Sagas(ctx context.Context, f SagaFilter) ([]db.Saga, error) {
	rows, err := db.New(a.reads).ListSagas(ctx, db.ListSagasParams{
		After: f.After, PlacedBefore: f.PlacedBefore, NeedsAttention: f.NeedsAttention, Most: f.Limit,
	})
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("list sagas: %w", err))
	}
	return rows, nil
}

// keepSaga holds a row for an order that has not ended or needs attention, and for no
// other. It comes after the event store's append, which lets one writer of an order
// through at a time.
func (a *App) keepSaga(ctx context.Context, tx pgx.Tx, o order.Order) error {
	id, err := uuid.Parse(o.ID)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "order id "+o.ID)
	}
	q := a.queries.WithTx(tx)
	if o.Status.Terminal() && o.Attention == nil {
		err = q.EndSaga(ctx, id)
	} else {
		row := db.KeepSagaParams{
			OrderID: id, Version: o.Version, Status: string(o.Status),
			PlacedAt: o.PlacedAt, ConfirmBy: o.ConfirmBy, ChangedAt: a.now(),
		}
		if o.Attention != nil {
			row.AttentionReason, row.AttentionDetail = &o.Attention.Reason, &o.Attention.Detail
		}
		err = q.KeepSaga(ctx, row)
	}
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep saga of order %s: %w", o.ID, err))
	}
	return nil
}
