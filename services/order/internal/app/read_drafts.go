package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// DraftFilter selects drafts.
type DraftFilter struct {
	CustomerID string    // "": of all customers
	Before     uuid.UUID // the last draft of the previous page; [uuid.Max] for the first page
	Limit      int32
}

// Drafts lists the drafts, newest first, as the reader of all streams has come to know them: a change
// appears some milliseconds after its command was answered. [App.GetOrder] reads the stream itself.
func (a *App) Drafts(ctx context.Context, f DraftFilter) ([]db.Draft, error) {
	p := db.ListDraftsParams{Before: f.Before, Most: f.Limit}
	if f.CustomerID != "" {
		p.CustomerID = &f.CustomerID
	}
	rows, err := db.New(a.reads).ListDrafts(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list drafts: %w", err)
	}
	return rows, nil
}

// RunDraftList maintains the list of drafts until ctx ends.
func (a *App) RunDraftList(ctx context.Context) error {
	a.draftReader().Run(ctx, a.draftsChanged)
	return nil
}

func (a *App) draftReader() *eventstore.Reader {
	return &eventstore.Reader{Name: "drafts", Types: order.DraftEvents(), Pool: a.pool, Handle: a.listDrafts, Log: a.log}
}

// listDrafts writes the rows of the drafts that events are about. A row is what the stream folds to now,
// which may be more than the events say; the events that are not read yet then change nothing. An order
// that is no draft any more has no row.
func (a *App) listDrafts(ctx context.Context, tx pgx.Tx, events []eventstore.Positioned) error {
	changedAt := map[string]time.Time{}
	for _, e := range events {
		changedAt[e.StreamID] = e.RecordedAt
	}
	folded, err := a.look(ctx, tx, slices.Sorted(maps.Keys(changedAt))...)
	if err != nil {
		return err
	}
	var kept db.KeepDraftsParams
	var gone []uuid.UUID
	for _, key := range slices.Sorted(maps.Keys(folded)) {
		o := folded[key]
		id, err := uuid.Parse(key)
		if err := cmp.Or(err, o.unreadable); err != nil {
			return errs.Wrap(errs.Internal, err, "read draft "+key)
		}
		if o.State != order.Draft {
			gone = append(gone, id)
			continue
		}
		kept.OrderIds, kept.Versions = append(kept.OrderIds, id), append(kept.Versions, o.Version)
		kept.CustomerIds, kept.Items = append(kept.CustomerIds, o.Customer.ID), append(kept.Items, int32(len(o.Items)))
		kept.TotalAmounts, kept.Currencies = append(kept.TotalAmounts, o.TotalAmount), append(kept.Currencies, o.Currency)
		kept.StartedAt, kept.ChangedAt = append(kept.StartedAt, o.PlacedAt), append(kept.ChangedAt, changedAt[key])
	}
	if len(kept.OrderIds) > 0 {
		if err := db.New(tx).KeepDrafts(ctx, kept); err != nil {
			return fmt.Errorf("list drafts: %w", err)
		}
	}
	if len(gone) > 0 {
		if err := db.New(tx).RemoveDrafts(ctx, gone); err != nil {
			return fmt.Errorf("list drafts: %w", err)
		}
	}
	return nil
}
