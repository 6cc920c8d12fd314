package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// record sets the row to the decision's state and adds the data of the step.
func record(row *db.Shipment, s reaction.Step[Input], d shipping.Decision) error {
	in := s.Input
	row.UpdatedAt = s.At
	if slices.Contains(d.Emit, shipping.ShipmentCancellationRejected) {
		row.RejectedRequests = append(slices.Clip(row.RejectedRequests), s.Cause.CausationID)
	}
	if in.Parcel != nil && row.Address == nil {
		if err := setParcel(row, *in.Parcel); err != nil {
			return err
		}
	}
	calledOff := slices.Contains(d.Emit, shipping.ShipmentDispatched) && d.Action == shipping.Refuse
	if row.State == string(d.Next) && !calledOff {
		return nil
	}
	row.Traceparent, row.Tracestate = s.Cause.TraceParent, s.Cause.TraceState
	keep(&row.ShipmentID, in.Answer.ShipmentID, in.Update.ShipmentID)
	keep(&row.TrackingID, in.Answer.TrackingID, in.Update.TrackingID)
	keep(&row.Carrier, in.Answer.Carrier, in.Update.Carrier)
	if calledOff {
		at := eventTime(s) // the time of the delivery when the delivery is the first update
		row.DispatchedAt = &at
		return nil
	}
	row.State = string(d.Next)
	switch d.Next {
	case shipping.Failed:
		row.Reason, row.Detail = in.Answer.Code, in.Answer.Detail
	case shipping.Cancelled:
		row.Reason, row.Detail = in.Reason, in.Detail
		if in.Answer.Outcome == carrier.Stopped {
			row.Reason, row.Detail = reasonStopped, in.Answer.Detail
		}
	case shipping.Dispatched, shipping.Delivered:
		at := eventTime(s)
		if row.DispatchedAt == nil {
			row.DispatchedAt = &at
		}
		if d.Next == shipping.Delivered {
			row.DeliveredAt = &at
		}
	}
	return nil
}

// rejectedBefore in a row stands for every request. A previous release rejected a request without
// storing its id.
const rejectedBefore = "*"

// rejectedAlready reports whether this request or command has already been rejected.
func rejectedAlready(row db.Shipment, s reaction.Step[Input]) bool {
	asks := s.Input.Kind == shipping.OrderCancellationRequested || s.Input.Kind == shipping.CancelShipment
	return asks && slices.ContainsFunc(row.RejectedRequests, func(id string) bool {
		return id == s.Cause.CausationID || id == rejectedBefore
	})
}

// reasonStopped is the reason when the carrier reports a cancellation that this service has not
// recorded. For the saga, the shipment failed.
const reasonStopped = "shipment_failed"

// eventTime returns when the parcel moved: by the carrier's clock if the carrier sent a time.
func eventTime(s reaction.Step[Input]) time.Time {
	for _, t := range []time.Time{s.Input.Update.At, s.Input.Answer.DispatchedAt} {
		if !t.IsZero() {
			return t.UTC().Truncate(time.Microsecond)
		}
	}
	return s.At
}

// keep sets an empty field to the first value that is not empty.
func keep(field *string, values ...string) {
	for _, v := range values {
		if *field == "" {
			*field = v
		}
	}
}

func setParcel(row *db.Shipment, p Parcel) (err error) {
	row.CustomerID = p.CustomerID
	if row.Address, err = json.Marshal(p.Address); err != nil {
		return fmt.Errorf("encode address: %w", err)
	}
	if row.Items, err = json.Marshal(p.Items); err != nil {
		return fmt.Errorf("encode items: %w", err)
	}
	return nil
}

func parcelOf(row db.Shipment) (*Parcel, error) {
	p := &Parcel{CustomerID: row.CustomerID}
	if err := json.Unmarshal(row.Address, &p.Address); err != nil {
		return nil, fmt.Errorf("decode address of order %s: %w", row.OrderID, err)
	}
	if err := json.Unmarshal(row.Items, &p.Items); err != nil {
		return nil, fmt.Errorf("decode items of order %s: %w", row.OrderID, err)
	}
	return p, nil
}
