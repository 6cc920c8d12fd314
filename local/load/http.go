package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Answer is an HTTP response read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OrderID is the order an answer is about; "" when it names none.
func (a Answer) OrderID() string {
	var order struct {
		OrderID string `json:"orderId"`
	}
	if json.Unmarshal(a.Body, &order) != nil {
		return ""
	}
	return order.OrderID
}

// Client is an HTTP client that gives up on a request after 15 s. It is made by
// NewClient and may be used concurrently.
type Client struct{ http *http.Client }

// NewClient returns a client with connections of its own.
func NewClient() *Client {
	return &Client{&http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second},
	}}
}

// Send makes one request with a raw body, "" for none. headers are names and values in
// turn. An error is a connection's, never a status.
func (c *Client) Send(ctx context.Context, method, url, body string, headers ...string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, b}, err
}

// patience is how long Insist asks: longer than any outage that is meant to end.
const patience = 2 * time.Minute

// Insist repeats a POST with its idempotency key until it has one of the wanted answers,
// as a client does whose server may die at any moment. where is asked for the address at
// each attempt, as by a client in front of several replicas. An answer that cannot change
// (4xx but for 409, a request in flight) is an error at once.
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
