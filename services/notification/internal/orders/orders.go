// Package orders is the client of the order service's API: the callback of an event notification.
//
// It guarantees that an order it returns is the order service's answer. When no answer arrives
// (timeout, cut connection, 5xx, or a status that concerns all requests), the error has kind
// errs.Transient, and the caller asks again. An order that the order service does not know is
// errs.NotFound. Other errors have kind errs.Internal: one of the two programs violates the API.
//
// Each request is one call through a circuit breaker. A call that the breaker refuses is Transient
// too and was not sent; errs.RetryAfter returns the time to wait.
package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/notification/notification"
)

// maxAnswer bounds the bytes read of one answer. The largest order is about as large as the largest
// request, 1 MiB.
const maxAnswer = 4 << 20

// Client asks one order service. [New] creates it. It is safe for concurrent use.
type Client struct {
	base    string
	timeout time.Duration
	breaker *breaker.Breaker
	http    *http.Client
}

// New returns a client for the order service at baseURL. timeout bounds one request, from dialling to
// the last byte of the answer.
func New(baseURL string, timeout time.Duration, b *breaker.Breaker) *Client {
	return &Client{
		base: strings.TrimRight(baseURL, "/"), timeout: timeout, breaker: b,
		http: &http.Client{Transport: &http.Transport{
			// The consumer makes up to 16 concurrent calls.
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// answer is what the client reads of an order.
type answer struct {
	OrderID  string `json:"orderId"`
	Customer struct {
		ID, Name, Email string
	} `json:"customer"`
	Items []struct {
		SKU       string      `json:"sku"`
		Quantity  int64       `json:"quantity"`
		UnitPrice json.Number `json:"unitPrice"`
	} `json:"items"`
	TotalAmount json.Number `json:"totalAmount"`
	Currency    string      `json:"currency"`
}

// Get returns the order as the order service shows it now.
func (c *Client) Get(ctx context.Context, orderID string) (notification.Order, error) {
	o, err := breaker.Call(ctx, c.breaker, func(ctx context.Context) (notification.Order, error) { return c.get(ctx, orderID) })
	if err != nil {
		err = fmt.Errorf("ask the order service for order %s: %w", orderID, err)
	}
	return o, err
}

func (c *Client) get(ctx context.Context, orderID string) (notification.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/orders/"+url.PathEscape(orderID), http.NoBody)
	if err != nil {
		return notification.Order{}, errs.Wrap(errs.Internal, err, "make request")
	}
	if parent, _ := telemetry.Trace(ctx); parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return notification.Order{}, errs.Wrap(errs.Transient, err, "no answer")
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return notification.Order{}, errs.Wrap(errs.Transient, err, "no complete answer")
	}
	switch status := res.StatusCode; {
	case status == http.StatusOK:
		return read(raw, orderID)
	case status == http.StatusNotFound:
		return notification.Order{}, errs.New(errs.NotFound, "it knows no such order")
	case status >= http.StatusInternalServerError, status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return notification.Order{}, errs.New(errs.Transient, "it answered %d", status)
	default:
		return notification.Order{}, errs.New(errs.Internal, "it answered %d", status)
	}
}

func read(raw []byte, orderID string) (notification.Order, error) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return notification.Order{}, errs.New(errs.Internal, "its answer is no order: %w", err)
	}
	if a.OrderID != orderID {
		return notification.Order{}, errs.New(errs.Internal, "its answer is about order %.40q", a.OrderID)
	}
	o := notification.Order{
		ID: a.OrderID, CustomerID: a.Customer.ID, Name: a.Customer.Name, Email: a.Customer.Email,
		Total: a.TotalAmount.String(), Currency: a.Currency,
	}
	for _, item := range a.Items {
		o.Items = append(o.Items, notification.Item{SKU: item.SKU, Quantity: item.Quantity, UnitPrice: item.UnitPrice.String()})
	}
	return o, nil
}
