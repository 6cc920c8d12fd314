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
	Items  []inventory.Item // set for OrderCreated only
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

// decide applies the transition table and moves the stock.
func (a *App) decide(r Reservation, s reaction.Step[Input]) (reaction.Decision[Reservation], error) {
	in := s.Input
	before := r.row
	d := inventory.Decide(inventory.State(r.row.State), in.Kind)
	decided := func(ctx context.Context) {
		a.log.DebugContext(ctx, "reservation decided", "cause", in.Kind, "outcome", d.Action, "from", before.State, "to", d.Next)
	}
	if d.Action == inventory.Refuse || d.Action == inventory.Duplicate {
		return reaction.Decision[Reservation]{State: r, Committed: decided}, nil
	}
	if in.Kind == inventory.OrderCreated {
		r.items, r.fresh = inventory.Merge(in.Items), true
	}
	if d.Effect != inventory.NoEffect && !r.locked {
		return reaction.Decision[Reservation]{}, errs.New(errs.Internal, "the stock of order %s was not loaded for %s", s.Key, in.Kind)
	}
	r.row.State, r.row.UpdatedAt = string(d.Next), s.At
	var emitted event.Event
	var err error
	switch d.Effect {
	case inventory.Reserve:
		r, emitted, err = reserve(r, s)
	case inventory.Release:
		r, err = moved(r, func(have counts, n int64) counts { have.available += n; have.reserved -= n; return have })
		emitted = events.InventoryReleased{
			OrderID: s.Key, ReservationID: r.row.ReservationID.String(), Items: reservedItems(r.items), Reason: in.Reason, OccurredAt: s.At,
		}
	case inventory.Ship: // no service waits for it, so no event is published
		r, err = moved(r, func(have counts, n int64) counts { have.reserved -= n; have.shipped += n; return have })
	}
	if err != nil {
		return reaction.Decision[Reservation]{}, err
	}
	out := reaction.Decision[Reservation]{Changed: true}
	if emitted != nil {
		r.row.Version++
		out.Events = []outbox.Entry{{Event: emitted, AggregateID: s.Key, Version: r.row.Version, Cause: s.Cause}}
	}
	out.State = r
	out.Committed = func(ctx context.Context) {
		decided(ctx)
		a.report(ctx, before, r.row, in)
	}
	return out, nil
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
