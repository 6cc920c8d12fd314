// Package api is the read side's HTTP edge: it decodes a query, asks the read
// models, and encodes the answer. What a request may look like is in openapi.yaml,
// which httpapi.Validator enforces before a handler runs.
package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/db"
)

const (
	defaultLimit = 50                  // orders on a page, as openapi.yaml promises
	defaultSpan  = 30 * 24 * time.Hour // of GET /revenue without from
)

// API implements the generated ServerInterface.
type API struct {
	app *app.App
}

// ListOrders answers GET /orders.
func (a *API) ListOrders(w http.ResponseWriter, r *http.Request, p ListOrdersParams) {
	f := app.Filter{Status: value(p.Status), CustomerID: value(p.CustomerId)}
	a.list(w, r, f, p.Limit, p.Cursor)
}

// ListCustomerOrders answers GET /customers/{customerId}/orders.
func (a *API) ListCustomerOrders(w http.ResponseWriter, r *http.Request, customerID string, p ListCustomerOrdersParams) {
	a.list(w, r, app.Filter{CustomerID: customerID}, p.Limit, p.Cursor)
}

func (a *API) list(w http.ResponseWriter, r *http.Request, f app.Filter, limit *int32, cursor *uuid.UUID) {
	n := int32(defaultLimit)
	if limit != nil {
		n = *limit
	}
	if cursor != nil {
		f.Before = cursor.String()
	}
	f.Limit = n + 1 // one more than asked for tells whether there is a next page
	rows, err := a.app.Orders(r.Context(), f)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	page := OrderPage{Orders: []Order{}}
	more := len(rows) > int(n)
	if more {
		rows = rows[:n]
	}
	for _, row := range rows {
		v, err := orderView(row)
		if err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
		page.Orders = append(page.Orders, v)
	}
	if more {
		page.NextCursor = &page.Orders[n-1].OrderId
	}
	httpapi.WriteJSON(w, http.StatusOK, page)
}

// GetOrder answers GET /orders/{orderId}.
func (a *API) GetOrder(w http.ResponseWriter, r *http.Request, orderID uuid.UUID) {
	d, err := a.app.Order(r.Context(), orderID.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	v, err := detailsView(d)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

// GetRevenue answers GET /revenue.
func (a *API) GetRevenue(w http.ResponseWriter, r *http.Request, p GetRevenueParams) {
	last := time.Now().UTC().Truncate(24 * time.Hour)
	if p.To != nil {
		last = p.To.Time
	}
	first := last.Add(-defaultSpan)
	if p.From != nil {
		first = p.From.Time
	}
	if first.After(last) {
		httpapi.WriteError(w, r, httpapi.WithStatus(http.StatusBadRequest, errs.Field("from", "is after to")))
		return
	}
	rows, err := a.app.Revenue(r.Context(), first, last)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	v := Revenue{From: date(first), To: date(last), Days: []RevenueDay{}}
	for _, row := range rows {
		v.Days = append(v.Days, revenueView(row))
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

func orderView(o db.Order) (Order, error) {
	id, err := uuid.Parse(o.OrderID)
	if err != nil {
		return Order{}, errs.Wrap(errs.Internal, err, "order id in the read model")
	}
	return Order{
		OrderId: id, Status: value(o.Status), CustomerId: value(o.CustomerID),
		TotalAmount: httpapi.FormatAmount(value(o.TotalAmount), value(o.Currency)), Currency: value(o.Currency),
		TrackingId: present(o.TrackingID), CancelReason: present(o.CancelReason), NeedsAttention: o.NeedsAttention,
		CreatedAt: value(o.CreatedAt), UpdatedAt: o.UpdatedAt,
	}, nil
}

func detailsView(d app.Details) (OrderDetails, error) {
	o, err := orderView(d.Order)
	if err != nil {
		return OrderDetails{}, err
	}
	v := OrderDetails{
		OrderId: o.OrderId, Status: o.Status, CustomerId: o.CustomerId, TotalAmount: o.TotalAmount,
		Currency: o.Currency, TrackingId: o.TrackingId, CancelReason: o.CancelReason,
		NeedsAttention: o.NeedsAttention, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
		Customer: Customer{Id: o.CustomerId, Name: value(d.Order.CustomerName), Email: value(d.Order.CustomerEmail)},
		ShippingAddress: Address{
			Street: value(d.Order.Street), City: value(d.Order.City),
			PostalCode: value(d.Order.PostalCode), Country: value(d.Order.Country),
		},
		Items: []Item{}, Timeline: []TimelineEntry{},
	}
	for _, it := range d.Items {
		v.Items = append(v.Items, Item{Sku: it.Sku, Quantity: it.Quantity, UnitPrice: httpapi.FormatAmount(it.UnitPrice, o.Currency)})
	}
	for _, e := range d.Timeline {
		service, _, _ := strings.Cut(e.Topic, ".") // topics are named <service>.events
		v.Timeline = append(v.Timeline, TimelineEntry{
			EventId: e.EventID, Type: e.EventType, Service: service, Version: e.Version,
			OccurredAt: e.OccurredAt, Detail: present(e.Detail),
		})
	}
	return v, nil
}

func revenueView(row app.RevenueDay) RevenueDay {
	return RevenueDay{
		Day: date(row.Day), Currency: row.Currency,
		Captured: httpapi.FormatSum(row.Captured, row.Currency),
		Refunded: httpapi.FormatSum(row.Refunded, row.Currency),
		Net:      httpapi.FormatSum(row.Net, row.Currency),
		Payments: row.Payments, Refunds: row.Refunds,
	}
}

func date(t time.Time) openapi_types.Date { return openapi_types.Date{Time: t} }

// value is what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// present makes an empty string an absent field.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
