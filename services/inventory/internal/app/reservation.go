package app

import (
	"context"
	"encoding/json"
	"math"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/inventory"
)

// Reasons of InventoryReservationFailed.
const (
	reasonOutOfStock = "out_of_stock"
	reasonUnknownSKU = "unknown_sku"
)

// Input is what an event means to an order's reservation.
type Input struct {
	Kind   inventory.Input
	Items  []inventory.Item // set for OrderCreated and ReserveInventory only
	Reason string           // set for a compensation: why the items are released
}

// Reservation is the reservation of one order, with the stock of its items.
type Reservation struct {
	row   db.Reservation
	items []inventory.Item // sorted by SKU
	fresh bool             // this set has added the items, and they are not stored yet

	stock  map[string]counts // by SKU, for the known SKUs of the whole set; not to be changed
	moved  map[string]counts // the stock of the SKUs that the decision moves
	locked bool              // stock was loaded, so a missing SKU is unknown
}

// counts is the number of pieces of a SKU by state.
type counts struct{ available, reserved, shipped int64 }

// decide applies the transition table, moves the stock, and answers a command that emits no event.
func (a *App) decide(r Reservation, s reaction.Step[Input]) (reaction.Decision[Reservation], error) {
	if contradicts(r.row, s.Cause) {
		return a.askForAttention(r, s), nil
	}
	in, before := s.Input, r.row
	d := inventory.Decide(inventory.State(r.row.State), in.Kind)
	out := reaction.Decision[Reservation]{Changed: d.Action != inventory.Refuse && d.Action != inventory.Duplicate}
	var emitted event.Event
	if out.Changed {
		var err error
		if r, emitted, err = apply(r, s, d); err != nil {
			return reaction.Decision[Reservation]{}, err
		}
	}
	if emitted == nil {
		emitted = answer(r, s)
	}
	if emitted != nil {
		out.Changed = true
		r.row.Version, r.row.UpdatedAt = r.row.Version+1, s.At
		cause := s.Cause
		cause.Style = event.Style(r.row.SagaStyle)
		out.Events = []outbox.Entry{{Event: emitted, AggregateID: s.Key, Version: r.row.Version, Cause: cause}}
	}
	out.State = r
	out.Committed = func(ctx context.Context) {
		a.log.DebugContext(ctx, "reservation decided", "cause", in.Kind, "outcome", d.Action, "from", before.State, "to", d.Next)
		a.report(ctx, before, r.row, in)
	}
	return out, nil
}

// apply changes the state and moves the stock. It returns the event that follows from the effect, or nil.
func apply(r Reservation, s reaction.Step[Input], d inventory.Decision) (Reservation, event.Event, error) {
	if len(r.items) == 0 && len(s.Input.Items) > 0 {
		r.items, r.fresh = inventory.Merge(s.Input.Items), true
	}
	if d.Effect != inventory.NoEffect && !r.locked {
		return r, nil, errs.New(errs.Internal, "the stock of order %s was not loaded for %s", s.Key, s.Input.Kind)
	}
	r.row.State, r.row.UpdatedAt = string(d.Next), s.At
	switch d.Effect {
	case inventory.Reserve:
		return reserve(r, s)
	case inventory.Release:
		r, err := moved(r, func(have counts, n int64) counts { have.available += n; have.reserved -= n; return have })
		return r, events.InventoryReleased{
			OrderID: s.Key, ReservationID: r.row.ReservationID.String(), Items: reservedItems(r.items), Reason: s.Input.Reason, OccurredAt: s.At,
		}, err
	case inventory.Ship: // no service waits for it, so no event is published
		r, err := moved(r, func(have counts, n int64) counts { have.reserved -= n; have.shipped += n; return have })
		return r, nil, err
	}
	return r, nil, nil
}

// answer returns the event that answers a command whose step emits none, or nil: see
// [inventory.AnswerTo].
func answer(r Reservation, s reaction.Step[Input]) event.Event {
	outcome := inventory.AnswerTo(s.Input.Kind, inventory.State(r.row.State))
	if outcome == inventory.Awaited {
		return nil
	}
	return events.InventoryCommandAnswered{
		OrderID: s.Key, Command: string(s.Input.Kind), Outcome: string(outcome), State: r.row.State, OccurredAt: s.At,
	}
}

// report logs one INFO line per reservation, when it ends.
func (a *App) report(ctx context.Context, before, row db.Reservation, in Input) {
	if state := inventory.State(row.State); row.State == before.State || !state.Ended() {
		return
	}
	about := []any{"status", row.State, "cause", in.Kind}
	if in.Reason != "" {
		about = append(about, "reason", in.Reason)
	}
	if len(row.Shortages) > 0 {
		about = append(about, "shortages", json.RawMessage(row.Shortages))
	}
	a.log.InfoContext(ctx, "reservation ended", about...)
}

// reserve reserves all items of the order, or rejects the order with its shortages.
func reserve(r Reservation, s reaction.Step[Input]) (Reservation, event.Event, error) {
	available := map[string]int64{}
	for _, it := range r.items {
		if have, known := r.stock[it.SKU]; known {
			available[it.SKU] = have.available
		}
	}
	if short := inventory.Allocate(available, r.items); len(short) > 0 {
		return reject(r, s, short)
	}
	r, err := moved(r, func(have counts, n int64) counts { have.available -= n; have.reserved += n; return have })
	return r, events.InventoryReserved{
		OrderID: s.Key, ReservationID: r.row.ReservationID.String(), Items: reservedItems(r.items), OccurredAt: s.At,
	}, err
}

func reject(r Reservation, s reaction.Step[Input], short []inventory.Shortage) (Reservation, event.Event, error) {
	stored, err := json.Marshal(short)
	if err != nil {
		return r, nil, err
	}
	r.row.State, r.row.Shortages = string(inventory.Rejected), stored
	e := events.InventoryReservationFailed{OrderID: s.Key, Reason: reasonOutOfStock, OccurredAt: s.At}
	for _, m := range short {
		if !m.Known {
			e.Reason = reasonUnknownSKU
		}
		// The event has 32 bits for the requested quantity. The reservation's row has the full
		// number.
		requested := int32(min(max(m.Requested, math.MinInt32), math.MaxInt32))
		e.Shortages = append(e.Shortages, events.Shortage{SKU: m.SKU, Requested: requested, Available: m.Available})
	}
	return r, e, nil
}

// moved moves the pieces of all items of the order, which has each SKU once. It fails for an
// unknown SKU.
func moved(r Reservation, move func(have counts, pieces int64) counts) (Reservation, error) {
	r.moved = map[string]counts{}
	for _, it := range r.items {
		have, known := r.stock[it.SKU]
		if !known {
			return r, errs.New(errs.Internal, "move the stock of order %s: there is no SKU %s", r.row.OrderID, it.SKU)
		}
		r.moved[it.SKU] = move(have, it.Quantity)
	}
	return r, nil
}

// reservedItems returns the items of an event. [inventory.Allocate] rejects every quantity that
// does not fit into 32 bits.
func reservedItems(items []inventory.Item) []events.ReservedItem {
	out := make([]events.ReservedItem, len(items))
	for i, it := range items {
		out[i] = events.ReservedItem{SKU: it.SKU, Quantity: int32(it.Quantity)}
	}
	return out
}
