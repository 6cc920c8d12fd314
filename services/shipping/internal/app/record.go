package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/internal/shipping"
)

// record brings the row to the decision's state with what the step knows.
func (a *App) record(row *db.Shipment, s step, d shipping.Decision) error {
	row.UpdatedAt = a.now()
	if slices.Contains(d.Emit, shipping.ShipmentCancellationRejected) {
		row.RejectedRequests = append(row.RejectedRequests, s.cause.CausationID)
	}
	if s.parcel != nil && row.Address == nil {
		if err := setParcel(row, *s.parcel); err != nil {
			return err
		}
	}
	calledOff := slices.Contains(d.Emit, shipping.ShipmentDispatched) && d.Action == shipping.Refuse
	if row.State == string(d.Next) && !calledOff {
		return nil
	}
	keep(&row.ShipmentID, s.answer.ShipmentID, s.update.ShipmentID)
	keep(&row.TrackingID, s.answer.TrackingID, s.update.TrackingID)
	keep(&row.Carrier, s.answer.Carrier, s.update.Carrier)
	if calledOff {
		at := a.eventTime(s) // a delivery's time when that is the first to tell
		row.DispatchedAt = &at
		return nil
	}
	row.State = string(d.Next)
	switch d.Next {
	case shipping.Failed:
		row.Reason, row.Detail = s.answer.Code, s.answer.Detail
	case shipping.Cancelled:
		row.Reason, row.Detail = s.reason, s.detail
		if s.answer.Outcome == carrier.Stopped {
			row.Reason, row.Detail = reasonStopped, s.answer.Detail
		}
	case shipping.Dispatched, shipping.Delivered:
		at := a.eventTime(s)
		if row.DispatchedAt == nil {
			row.DispatchedAt = &at
		}
		if d.Next == shipping.Delivered {
			row.DeliveredAt = &at
		}
	}
	return nil
}

// rejectedBefore stands in a row for every request: its rejection was told by a release that
// did not note which.
const rejectedBefore = "*"

// answered reports whether this very request has had its rejection.
func answered(row db.Shipment, s step) bool {
	return s.input == shipping.OrderCancellationRequested && slices.ContainsFunc(row.RejectedRequests, func(id string) bool {
		return id == s.cause.CausationID || id == rejectedBefore
	})
}

// reasonStopped is the reason of a cancellation first heard of from the carrier: as far
// as the saga is concerned, the shipment failed.
const reasonStopped = "shipment_failed"

// eventTime is when the parcel moved, by the carrier's clock where it told.
func (a *App) eventTime(s step) time.Time {
	for _, t := range []time.Time{s.update.At, s.answer.DispatchedAt} {
		if !t.IsZero() {
			return t.UTC().Truncate(time.Microsecond)
		}
	}
	return a.now()
}

// keep fills an empty field with the first value that is not.
func keep(field *string, values ...string) {
	for _, v := range values {
		if *field == "" {
			*field = v
		}
	}
}

func setParcel(row *db.Shipment, p parcel) (err error) {
	row.CustomerID = p.CustomerID
	if row.Address, err = json.Marshal(p.Address); err != nil {
		return fmt.Errorf("encode address: %w", err)
	}
	if row.Items, err = json.Marshal(p.Items); err != nil {
		return fmt.Errorf("encode items: %w", err)
	}
	return nil
}

func parcelOf(row db.Shipment) (*parcel, error) {
	p := &parcel{CustomerID: row.CustomerID}
	if err := json.Unmarshal(row.Address, &p.Address); err != nil {
		return nil, fmt.Errorf("decode address of order %s: %w", row.OrderID, err)
	}
	if err := json.Unmarshal(row.Items, &p.Items); err != nil {
		return nil, fmt.Errorf("decode items of order %s: %w", row.OrderID, err)
	}
	return p, nil
}

func store(ctx context.Context, q *db.Queries, row db.Shipment) error {
	err := q.UpdateShipment(ctx, db.UpdateShipmentParams{
		OrderID: row.OrderID, State: row.State, Version: row.Version, CustomerID: row.CustomerID,
		Address: row.Address, Items: row.Items, ShipmentID: row.ShipmentID, TrackingID: row.TrackingID,
		Carrier: row.Carrier, Reason: row.Reason, Detail: row.Detail,
		DispatchedAt: row.DispatchedAt, DeliveredAt: row.DeliveredAt,
		RejectedRequests: row.RejectedRequests, UpdatedAt: row.UpdatedAt,
	})
	if err != nil {
		return fmt.Errorf("store shipment: %w", err)
	}
	return nil
}
