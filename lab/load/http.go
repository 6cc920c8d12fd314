package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// Answer is an HTTP response that was read completely.
type Answer struct{ jsonhttp.Answer }

// OrderID returns the order id in an answer, or "".
func (a Answer) OrderID() string {
	var order struct {
		OrderID string `json:"orderId"`
	}
	if json.Unmarshal(a.Body, &order) != nil {
		return ""
	}
	return order.OrderID
}

// Client is an HTTP client with a timeout of 15 s per request. Create it with [NewClient]. It is
// safe for concurrent use.
type Client struct{ http jsonhttp.Client }

// NewClient returns a client with its own connections.
func NewClient() *Client {
	return &Client{jsonhttp.New("", &http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second},
	})}
}

// Send sends one request with a raw body, "" for none. headers are names and values in turn. It
// returns errors of the connection, never of a status.
func (c *Client) Send(ctx context.Context, method, url, body string, headers ...string) (Answer, error) {
	a, err := c.http.Send(ctx, method, url, []byte(body), headers...)
	return Answer{a}, err
}

// patience bounds [Client.Insist]: longer than any temporary outage.
const patience = 2 * time.Minute

// Insist repeats a POST with its idempotency key until it gets one of the wanted statuses, as a
// client does whose server may fail at any moment. It calls where for the address before each
// attempt, as a client in front of several replicas does. A final answer (4xx except 409, a request
// in flight) is an error at once.
func (c *Client) Insist(ctx context.Context, where func() string, body, key string, want ...int) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		url := where()
		a, err := c.Send(ctx, http.MethodPost, url, body, "Idempotency-Key", key)
		switch {
		case err != nil:
		case slices.Contains(want, a.Status):
			return a, nil
		case a.Status/100 == 4 && a.Status != http.StatusConflict:
			return a, fmt.Errorf("POST %s: %d %s", url, a.Status, a.Body)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return a, fmt.Errorf("POST %s with key %s has no answer: %d %s %w", url, key, a.Status, a.Body, context.Cause(ctx))
		}
	}
}
