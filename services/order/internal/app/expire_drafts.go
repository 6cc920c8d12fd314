package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

const (
	// draftExpiryPoll is how often abandoned drafts are looked for. They are kept for days.
	draftExpiryPoll = 10 * time.Second
	// draftExpiryBatch bounds one look.
	draftExpiryBatch = 100
)

// RunDraftExpiry discards drafts that were abandoned, until ctx ends. Several replicas may run it. It
// logs failures and tries again.
func (a *App) RunDraftExpiry(ctx context.Context) error {
	ticker := time.NewTicker(draftExpiryPoll)
	defer ticker.Stop()
	for {
		if _, err := a.ExpireDrafts(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "abandoned drafts not discarded; will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// ExpireDrafts discards up to one batch of the drafts that were not changed for longer than the
// service keeps them. It returns how many it discarded. A draft that is changed meanwhile is at
// another version than the list knows, and stays.
func (a *App) ExpireDrafts(ctx context.Context) (discarded int, err error) {
	abandoned, err := a.queries.AbandonedDrafts(ctx, db.AbandonedDraftsParams{
		ChangedBefore: a.now().Add(-a.draftTTL), Most: draftExpiryBatch,
	})
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("look for abandoned drafts: %w", err))
	}
	var failed []error
	for _, d := range abandoned {
		var committed func(context.Context)
		err := postgres.InPipeline(ctx, a.pool, func(tx pgx.Tx) (err error) {
			_, committed, err = a.EditDraft(ctx, tx, d.OrderID.String(), d.Version,
				order.Discard{Reason: order.ReasonAbandoned, Detail: "not changed for " + a.draftTTL.String()})
			return err
		})
		_, changed := errors.AsType[*VersionError](err)
		switch {
		case changed || errs.KindOf(err) == errs.Conflict:
			// It was changed, placed or discarded, and the list will know.
		case err != nil:
			failed = append(failed, fmt.Errorf("discard draft %s: %w", d.OrderID, err))
		default:
			discarded++
			committed(ctx)
		}
	}
	if discarded > 0 {
		a.wakeDraftList()
	}
	return discarded, errors.Join(failed...)
}

// wakeDraftList makes the list of drafts read at once.
func (a *App) wakeDraftList() {
	select {
	case a.draftsChanged <- struct{}{}:
	default: // it is awake already
	}
}
