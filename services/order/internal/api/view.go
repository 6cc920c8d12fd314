package api

import (
	"encoding/json"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/internal/order"
)

// view gives an order as the API shows it.
func view(o order.Order) Order {
	v := Order{
		OrderId:         uuid.MustParse(o.ID), // the service made it
		Version:         o.Version,
		Status:          string(o.Status),
		NeedsAttention:  o.Attention != nil,
		Customer:        Customer{Id: o.Customer.ID, Name: o.Customer.Name, Email: o.Customer.Email},
		ShippingAddress: Address{Street: o.Address.Street, City: o.Address.City, PostalCode: o.Address.PostalCode, Country: optional(o.Address.Country)},
		Items:           []Item{},
		TotalAmount:     httpapi.FormatAmount(o.TotalAmount, o.Currency),
		Currency:        o.Currency,
		PlacedAt:        o.PlacedAt,
		ConfirmBy:       o.ConfirmBy,
		TrackingId:      optional(o.TrackingID),
		Failure:         cause(o.Failure),
		Cancellation:    cause(o.Cancellation),
		Cancelled:       cause(o.Cancelled),
		Attention:       cause(o.Attention),
	}
	if o.Rejected {
		v.CancellationRejected = &o.Rejected
	}
	for _, item := range o.Items {
		v.Items = append(v.Items, Item{Sku: item.SKU, Quantity: item.Quantity, UnitPrice: httpapi.FormatAmount(item.UnitPrice, o.Currency)})
	}
	return v
}

// sagaPage gives up to limit sagas, and where the next page begins if there are more.
func sagaPage(rows []db.Saga, limit int) SagaPage {
	page := SagaPage{Sagas: []Saga{}}
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = &rows[limit-1].OrderID
	}
	for _, row := range rows {
		v := Saga{
			OrderId: row.OrderID, Version: row.Version, Status: row.Status,
			PlacedAt: row.PlacedAt.UTC(), ConfirmBy: row.ConfirmBy.UTC(), ChangedAt: row.ChangedAt.UTC(),
		}
		if row.AttentionReason != nil {
			v.NeedsAttention = true
			v.Attention = cause(&order.Cause{Reason: *row.AttentionReason, Detail: *row.AttentionDetail})
		}
		page.Sagas = append(page.Sagas, v)
	}
	return page
}

func cause(c *order.Cause) *Cause {
	if c == nil {
		return nil
	}
	return &Cause{Reason: c.Reason, Detail: optional(c.Detail)}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// historyOf gives a stream as the API shows it: the stored events with their
// amounts, which the store has in minor units, as decimals.
func historyOf(id uuid.UUID, recorded []app.Recorded) (OrderEvents, error) {
	history := OrderEvents{OrderId: id, Events: []DomainEvent{}}
	currency := ""
	for _, r := range recorded {
		var shown any = r.Event
		switch e := r.Event.(type) {
		case order.Created:
			currency = e.Currency
			shown = struct {
				order.Created
				TotalAmount json.Number `json:"totalAmount"` // in place of the embedded one
			}{e, httpapi.FormatAmount(e.TotalAmount, currency)}
		case order.ItemAdded:
			shown = Item{Sku: e.SKU, Quantity: e.Quantity, UnitPrice: httpapi.FormatAmount(e.UnitPrice, currency)}
		}
		data, err := json.Marshal(shown)
		if err != nil {
			return history, errs.Wrap(errs.Internal, err, "encode "+r.Event.Name())
		}
		history.Events = append(history.Events, DomainEvent{
			Version: r.Version, Type: r.Event.Name(), RecordedAt: r.RecordedAt, Data: data,
		})
	}
	return history, nil
}
