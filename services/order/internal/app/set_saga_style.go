package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/internal/db"
)

// SetSagaStyle sets the percentage of the customers whose orders are orchestrated when they do not name a
// style. 0 is always allowed. The error is a [*NotReadyError] when a participant does not know styles, and
// has kind Invalid when the percentage is not from 0 to 100. Orders that exist keep their style. Other
// processes notice the change within about a second.
func (a *App) SetSagaStyle(ctx context.Context, percent int) (SagaStyle, error) {
	if percent < 0 || percent > 100 {
		return SagaStyle{}, errs.Field("orchestratedPercent", "must be between 0 and 100")
	}
	row, err := a.queries.SetSagaStyle(ctx, db.SetSagaStyleParams{OrchestratedPercent: int32(percent), ChangedAt: a.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		now, err := a.GetSagaStyle(ctx)
		if err != nil {
			return SagaStyle{}, err
		}
		return SagaStyle{}, notReady(now.Reason)
	}
	if err != nil {
		return SagaStyle{}, fmt.Errorf("set the saga style: %w", err)
	}
	a.log.InfoContext(ctx, "the share of orchestrated orders was set", "percent", percent)
	return a.keepSagaStyle(db.ReadSagaStyleRow(row)), nil
}
