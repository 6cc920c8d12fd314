package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/services/order/order"
)

// VersionError is the error of a command whose client knows an order at another version than it is at.
type VersionError struct{ Current int64 }

func (e *VersionError) Error() string { return fmt.Sprintf("the order is at version %d", e.Current) }

// StartDraft is the command that begins a draft. Amounts are in minor units. ShippingAddress and Items
// are optional.
type StartDraft struct {
	Customer        order.Customer
	ShippingAddress order.Address
	Items           []order.Item
	Currency        string
	Channel         order.Channel
}

// StartDraft creates a draft. Nothing is published, and no saga starts. The error has kind Invalid and
// names the invalid fields, or it has kind Transient. The caller calls committed after the commit.
func (a *App) StartDraft(ctx context.Context, tx pgx.Tx, s StartDraft) (o order.Order, committed func(context.Context), err error) {
	id, err := newID()
	if err != nil {
		return order.Order{}, nil, err
	}
	return a.draftCommand(ctx, tx, id.String(), Input{Draft: &order.StartDraft{
		OrderID: id.String(), Customer: s.Customer, Currency: s.Currency, Channel: s.Channel, Address: s.ShippingAddress, Items: s.Items,
	}})
}

// draftCommand is command, and the list of drafts reads at once after the commit.
func (a *App) draftCommand(ctx context.Context, tx pgx.Tx, id string, in Input) (o order.Order, committed func(context.Context), err error) {
	o, report, err := a.command(ctx, tx, id, in)
	return o, func(ctx context.Context) {
		a.wakeDraftList()
		report(ctx)
	}, err
}

// EditDraft applies a command to a draft that is at the expected version; 0: at any. The error is a
// [*VersionError] at another version, an [order.RuleError] when the draft does not allow the command, and has
// kind NotFound when there is no such order. The caller calls committed after the commit.
func (a *App) EditDraft(ctx context.Context, tx pgx.Tx, orderID string, expected int64, e order.Edit) (o order.Order, committed func(context.Context), err error) {
	return a.draftCommand(ctx, tx, orderID, Input{Edit: &edit{Edit: e, expected: expected}})
}

// PlaceDraft places a draft that is at the expected version; 0: at any. Its errors are those of
// [App.EditDraft] and [App.PlaceOrder]. A within of 0 is the service's default, and a style of "" is that of
// the ramp.
func (a *App) PlaceDraft(ctx context.Context, tx pgx.Tx, orderID uuid.UUID, expected int64, style order.Style, within time.Duration) (o order.Order, committed func(context.Context), err error) {
	ramp, err := a.sagaStyle(ctx, tx)
	if err != nil {
		return order.Order{}, nil, err
	}
	place := order.PlaceDraft{ConfirmWithin: a.confirmWithin(within), Style: style}
	o, report, err := a.place(ctx, tx, orderID, Input{Edit: &edit{Edit: place, expected: expected, ramp: ramp}})
	return o, func(ctx context.Context) {
		a.wakeDraftList()
		report(ctx)
	}, err
}
