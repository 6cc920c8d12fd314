// Package api is the HTTP edge of the read models. It decodes a query, reads the read models and
// encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces it
// before a handler runs.
package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/db"
	"eventshop.example/services/projection/internal/fresh"
)

const (
	defaultLimit = 50                  // orders per page, as openapi.yaml documents
	defaultSpan  = 30 * 24 * time.Hour // of GET /revenue without from
)

// API implements the generated ServerInterface.
type API struct {
	app     *app.App
	waiting *fresh.Waiting
}

// ListOrders handles GET /orders.
func (a *API) ListOrders(w http.ResponseWriter, r *http.Request, p ListOrdersParams) {
	f := app.Filter{Status: value(p.Status), CustomerID: value(p.CustomerId)}
	a.list(w, r, f, page{p.Limit, p.Cursor, p.MinVersion, p.Stale})
}

// ListCustomerOrders handles GET /customers/{customerId}/orders.
func (a *API) ListCustomerOrders(w http.ResponseWriter, r *http.Request, customerID string, p ListCustomerOrdersParams) {
	a.list(w, r, app.Filter{CustomerID: customerID}, page{p.Limit, p.Cursor, p.MinVersion, p.Stale})
}

// page is the parameters that all lists of orders have.
type page struct {
	limit                     *int32
	cursor, minVersion, stale *string
}

func (a *API) list(w http.ResponseWriter, r *http.Request, f app.Filter, p page) {
	answer, err := a.orders(w.Header(), r.Context(), f, p)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, answer)
}

// orders returns a page of the list that f selects, and sets the headers about its freshness.
func (a *API) orders(h http.Header, ctx context.Context, f app.Filter, p page) (OrderPage, error) {
	answer := OrderPage{Orders: []Order{}}
	n := int32(defaultLimit)
	if p.limit != nil {
		n = *p.limit
	}
	f.Limit = n + 1 // one more row than requested shows whether there is a next page
	var err error
	if p.cursor != nil {
		at, err := before(*p.cursor, ordersBy(f))
		if err != nil {
			return answer, err
		}
		f.Before = at.String()
	}
	t, err := tokenOf(p.minVersion)
	if err != nil {
		return answer, err
	}
	view, err := a.await(ctx, t, p.stale)
	if err != nil {
		return answer, err
	}
	rows, err := a.app.Orders(ctx, f)
	if err != nil {
		return answer, err
	}
	mark(h, t, view)
	more := len(rows) > int(n)
	if more {
		rows = rows[:n]
	}
	for _, row := range rows {
		v, err := orderView(row)
		if err != nil {
			return answer, err
		}
		answer.Orders = append(answer.Orders, v)
	}
	if more {
		next := cursorBehind(answer.Orders[n-1].OrderId, ordersBy(f))
		answer.NextCursor = &next
	}
	return answer, nil
}

// GetOrder handles GET /orders/{orderId}.
func (a *API) GetOrder(w http.ResponseWriter, r *http.Request, orderID uuid.UUID, p GetOrderParams) {
	t := token{orderID.String(), value(p.MinVersion)}
	view, err := a.await(r.Context(), t, p.Stale)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	d, err := a.app.Order(r.Context(), t.orderID)
	mark(w.Header(), t, view)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	w.Header().Set(headerVersion, strconv.FormatInt(d.Order.StatusVersion, 10))
	if d.Order.StatusVersion >= t.version { // it has come since
		w.Header().Del(headerStale)
	}
	v, err := detailsView(d)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

// GetRevenue handles GET /revenue.
func (a *API) GetRevenue(w http.ResponseWriter, r *http.Request, p GetRevenueParams) {
	if p.MinVersion != nil {
		httpapi.WriteError(w, r, badParameter("minVersion", "cannot be asked of revenue: sums do not store the versions of orders"))
		return
	}
	first, last, err := span(p.From, p.To)
	if err != nil {
		httpapi.WriteError(w, r, err)
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

// span returns the first and the last day of a request.
func span(from, to *openapi_types.Date) (first, last time.Time, err error) {
	last = time.Now().UTC().Truncate(24 * time.Hour)
	if to != nil {
		last = to.Time
	}
	first = last.Add(-defaultSpan)
	if from != nil {
		first = from.Time
	}
	if first.After(last) {
		err = httpapi.WithStatus(http.StatusBadRequest, errs.Field("from", "is after to"))
	}
	return first, last, err
}

func orderView(o db.Order) (Order, error) {
	id, err := uuid.Parse(o.OrderID)
	if err != nil {
		return Order{}, errs.Wrap(errs.Internal, err, "order id in the read model")
	}
	return Order{
		OrderId: id, Status: value(o.Status), CustomerId: value(o.CustomerID),
		TotalAmount: httpapi.FormatAmount(value(o.TotalAmount), value(o.Currency)), Currency: value(o.Currency),
		TrackingId: present(o.TrackingID), Cancellation: cause(o.CancelReason), NeedsAttention: o.NeedsAttention,
		PlacedAt: value(o.CreatedAt), UpdatedAt: o.UpdatedAt,
	}, nil
}

func detailsView(d app.Details) (OrderDetails, error) {
	o, err := orderView(d.Order)
	if err != nil {
		return OrderDetails{}, err
	}
	v := OrderDetails{
		OrderId: o.OrderId, Status: o.Status, CustomerId: o.CustomerId, TotalAmount: o.TotalAmount,
		Currency: o.Currency, TrackingId: o.TrackingId, Cancellation: o.Cancellation,
		NeedsAttention: o.NeedsAttention, PlacedAt: o.PlacedAt, UpdatedAt: o.UpdatedAt,
		Customer: Customer{Id: o.CustomerId, Name: value(d.Order.CustomerName), Email: value(d.Order.CustomerEmail)},
		ShippingAddress: Address{
			Street: value(d.Order.Street), City: value(d.Order.City),
			PostalCode: value(d.Order.PostalCode), Country: value(d.Order.Country),
		},
		Saga: d.Order.SagaStyle, Items: []Item{}, Timeline: []TimelineEntry{},
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

// cause returns a reason in the form of the order service's API, or nil when there is none.
func cause(reason string) *Cause {
	if reason == "" {
		return nil
	}
	return &Cause{Reason: reason}
}

// value returns what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// present returns nil for an empty string, so that the answer omits it.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
