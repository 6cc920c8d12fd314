package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// Shipment is the shipment of one order for readers. Address and Items are empty until OrderCreated
// or ScheduleShipment has arrived. The times are nil until the parcel has moved.
type Shipment struct {
	OrderID        string
	State          shipping.State
	Saga           event.Style // how the saga of the order is coordinated
	Version        int64
	Carrier        string
	ShipmentID     string
	TrackingID     string
	Reason, Detail string
	Attention      string // why a person has to look; empty when there is no reason
	Address        *carrier.Address
	Items          []carrier.Item
	DispatchedAt   *time.Time
	DeliveredAt    *time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Shipment returns the shipment of an order. The error has kind errs.NotFound when there is no
// shipment of the order.
func (a *App) Shipment(ctx context.Context, orderID string) (Shipment, error) {
	row, err := db.New(a.reads).GetShipment(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Shipment{}, errs.New(errs.NotFound, "no shipment of order %s", orderID)
	}
	if err != nil {
		return Shipment{}, fmt.Errorf("load shipment: %w", err)
	}
	s := Shipment{
		OrderID: row.OrderID, State: shipping.State(status(row)), Saga: event.Style(row.SagaStyle), Version: row.Version,
		Carrier: row.Carrier, ShipmentID: row.ShipmentID, TrackingID: row.TrackingID,
		Reason: row.Reason, Detail: row.Detail, Attention: row.Attention,
		DispatchedAt: row.DispatchedAt, DeliveredAt: row.DeliveredAt,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	if row.Address != nil {
		p, err := parcelOf(row)
		if err != nil {
			return Shipment{}, err
		}
		s.Address, s.Items = &p.Address, p.Items
	}
	return s, nil
}
