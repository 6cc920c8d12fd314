package api

import (
	"cmp"
	"encoding/json"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// view returns the API's representation of an order.
func view(o order.Order) Order {
	v := Order{
		OrderId:        uuid.MustParse(o.ID), // the service created the id
		Version:        o.Version,
		Status:         string(o.State),
		NeedsAttention: o.Attention != nil,
		Customer:       Customer{Id: o.Customer.ID, Name: o.Customer.Name, Email: o.Customer.Email},
		Items:          []Item{},
		TotalAmount:    httpapi.FormatAmount(o.TotalAmount, o.Currency),
		Currency:       o.Currency,
		TrackingId:     optional(o.TrackingID),
		Failure:        cause(o.Failure),
		Cancellation:   cause(cmp.Or(o.Cancelled, o.Cancellation)), // Cancelled carries the reason of Cancellation
		Cancelled:      cause(o.Cancelled),
		Attention:      cause(o.Attention),
		Saga:           optional(string(o.Style)),
	}
	if a := o.Address; a != (order.Address{}) {
		v.ShippingAddress = &Address{Street: a.Street, City: a.City, PostalCode: a.PostalCode, Country: optional(a.Country)}
	}
	if o.State.Placed() {
		v.PlacedAt, v.ConfirmBy = &o.PlacedAt, &o.ConfirmBy
	} else {
		v.StartedAt = &o.PlacedAt
	}
	if o.Channel != order.Unspecified {
		v.Channel = optional(string(o.Channel))
	}
	if o.Rejected {
		v.CancellationRejected = &o.Rejected
	}
	for _, item := range o.Items {
		v.Items = append(v.Items, itemView(item, o.Currency))
	}
	return v
}

func itemView(i order.Item, currency string) Item {
	return Item{Sku: i.SKU, Quantity: i.Quantity, UnitPrice: httpapi.FormatAmount(i.UnitPrice, currency)}
}

// draftPage returns up to limit drafts, and the cursor of the next page if there are more.
func draftPage(rows []db.Draft, limit int) DraftPage {
	page := DraftPage{Drafts: []Draft{}}
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = &rows[limit-1].OrderID
	}
	for _, row := range rows {
		page.Drafts = append(page.Drafts, Draft{
			OrderId: row.OrderID, Version: row.Version, CustomerId: row.CustomerID, Items: row.Items,
			TotalAmount: httpapi.FormatAmount(row.TotalAmount, row.Currency), Currency: row.Currency,
			StartedAt: row.StartedAt.UTC(), UpdatedAt: row.ChangedAt.UTC(),
		})
	}
	return page
}

// sagaPage returns up to limit sagas, and the cursor of the next page if there are more.
func sagaPage(rows []db.Saga, limit int) SagaPage {
	page := SagaPage{Sagas: []Saga{}}
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = &rows[limit-1].OrderID
	}
	for _, row := range rows {
		v := Saga{
			OrderId: row.OrderID, Version: row.Version, Status: row.Status,
			Saga: row.SagaStyle, PlacedAt: row.PlacedAt.UTC(), ConfirmBy: row.ConfirmBy.UTC(), UpdatedAt: row.ChangedAt.UTC(),
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

// historyOf returns the API's representation of a page of a stream. The store keeps amounts in minor
// units; the API shows them as decimals.
func historyOf(id uuid.UUID, page app.History) (OrderEvents, error) {
	history := OrderEvents{OrderId: id, Events: []DomainEvent{}}
	for _, r := range page.Events {
		var shown any = r.Event
		switch e := r.Event.(type) {
		case order.OrderCreated:
			shown = struct {
				order.OrderCreated
				TotalAmount json.Number `json:"totalAmount"` // in place of the embedded one
			}{e, httpapi.FormatAmount(e.TotalAmount, page.Currency)}
		case order.OrderCancellationRequested:
			shown = struct {
				order.OrderCancellationRequested
				Reason string `json:"reason"` // as in the order's cancellation
			}{e, e.Reason()}
		case order.ItemAdded:
			shown = itemView(order.Item(e), page.Currency)
		case order.DraftItemAdded:
			shown = itemView(order.Item(e), page.Currency)
		case order.DraftItemChanged:
			shown = itemView(order.Item(e), page.Currency)
		}
		data, err := json.Marshal(shown)
		if err != nil {
			return history, errs.Wrap(errs.Internal, err, "encode "+r.Event.Name())
		}
		history.Events = append(history.Events, DomainEvent{
			Version: r.Version, Type: r.Event.Name(), RecordedAt: r.RecordedAt, Data: data,
			Actor: r.Actor, CausedBy: optional(string(r.CausedBy)), CorrelationId: optional(r.CorrelationID), CausationId: optional(r.CausationID),
		})
	}
	if page.More {
		history.NextAfter = &history.Events[len(history.Events)-1].Version
	}
	return history, nil
}
