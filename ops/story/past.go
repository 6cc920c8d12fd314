package story

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// Moment is a point of an order's life: a version, or an instant if Version is 0.
type Moment struct {
	Version int64
	AsOf    time.Time
}

// Then is an order as it was.
type Then struct {
	Order
	CustomerID string
	Items      []Line
	TrackingID string
	Last       Fact            // the last event that the state includes
	Document   json.RawMessage // the order service's answer, with all fields
}

// Line is one item of an order.
type Line struct {
	SKU       string      `json:"sku"`
	Quantity  int64       `json:"quantity"`
	UnitPrice json.Number `json:"unitPrice"`
}

// Fact is a domain event of an order with its cause.
type Fact struct {
	Version    int64     `json:"version"`
	Type       string    `json:"type"`
	RecordedAt time.Time `json:"recordedAt"`
	Actor      string    `json:"actor"`
	CausedBy   string    `json:"causedBy"` // "" if not known
}

// Past asks the order service at the URL for the order at a moment. The error says when the order was
// created if that was later.
func Past(ctx context.Context, service, orderID string, m Moment) (Then, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	client, path := jsonhttp.New(service, nil), "/orders/"+url.PathEscape(orderID)
	query := url.Values{}
	if m.Version > 0 {
		query.Set("version", strconv.FormatInt(m.Version, 10))
	} else {
		query.Set("asOf", m.AsOf.UTC().Format(time.RFC3339Nano))
	}
	var then Then
	if err := client.Call(ctx, http.MethodGet, path, query, nil, &then.Document); err != nil {
		return Then{}, err
	}
	fields := struct {
		*Order
		Customer   struct{ ID string }
		Items      []Line
		TrackingID string
	}{Order: &then.Order}
	if err := json.Unmarshal(then.Document, &fields); err != nil {
		return Then{}, err
	}
	then.CustomerID, then.Items, then.TrackingID = fields.Customer.ID, fields.Items, fields.TrackingID
	var page struct{ Events []Fact }
	err := client.Call(ctx, http.MethodGet, path+"/events",
		url.Values{"after": {strconv.FormatInt(then.Version-1, 10)}, "limit": {"1"}}, nil, &page)
	if err == nil && len(page.Events) == 1 {
		then.Last = page.Events[0]
	}
	return then, err
}

// Diff is what changed between two versions of an order.
type Diff struct {
	OrderID string   `json:"orderId"`
	From    int64    `json:"from"`
	To      int64    `json:"to"`
	Changes []Change `json:"changes"`
}

// Change is a field with two values; nil where the field is missing.
type Change struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old,omitempty"`
	New   json.RawMessage `json:"new,omitempty"`
}

// Compare asks the order service at the URL what changed between two versions of the order.
func Compare(ctx context.Context, service, orderID string, from, to int64) (d Diff, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err = jsonhttp.New(service, nil).Call(ctx, http.MethodGet, "/orders/"+url.PathEscape(orderID)+"/diff",
		url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}, nil, &d)
	return d, err
}
