package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// skus is how many SKUs the orders are spread over. An order has two items.
const skus = 20

// stock is the pieces of each SKU: more than any run orders.
const stock = 1_000_000

// retryAfter is how long a client waits that was refused because of overload, when the answer does
// not say it.
const retryAfter = 100 * time.Millisecond

// Load is how orders are placed.
type Load struct {
	Orders    int
	Clients   int     // each has one request in flight at most
	PerSecond float64 // 0: as fast as they are accepted
	// Styles are the styles of the orders' sagas, in turns. Without any the order service chooses, and
	// the request is one that a shop of before the styles accepts too.
	Styles []event.Style
}

// Placed is an accepted order.
type Placed struct {
	ID       string
	Style    event.Style // "" when the order service chose
	Sent     time.Time   // just before the request that was accepted
	Accepted time.Time   // when the answer was read
}

// Accepted is what came of a load.
type Accepted struct {
	Orders  []Placed
	Refused int // answers that asked the client to come back later
	Took    time.Duration
}

// Client is an HTTP client with a connection per client of the load.
type Client struct {
	http  *http.Client
	order string
}

// NewClient returns a client of the shop's order service.
func (s *Stack) NewClient(clients int) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = clients
	return &Client{http: &http.Client{Transport: transport, Timeout: time.Minute}, order: s.URLs["order"]}
}

// Stock puts enough pieces of all SKUs on stock.
func (s *Stack) Stock(ctx context.Context) error {
	c := s.NewClient(1)
	defer c.http.CloseIdleConnections()
	for i := range skus {
		url := fmt.Sprintf("%s/stock/%s/receipts", s.URLs["inventory"], sku(i))
		status, body, err := c.post(ctx, url, fmt.Sprintf(`{"quantity":%d}`, stock), uuid.NewString())
		if err != nil {
			return fmt.Errorf("stock %s: %w", sku(i), err)
		}
		if status/100 != 2 {
			return fmt.Errorf("stock %s: %d %s", sku(i), status, body)
		}
	}
	return nil
}

func sku(i int) string { return fmt.Sprintf("BENCH-%02d", i%skus) }

// Place places the orders and returns when all are accepted. note is called with their number.
func (s *Stack) Place(ctx context.Context, l Load, note func(accepted int)) (Accepted, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c := s.NewClient(l.Clients)
	defer c.http.CloseIdleConnections()
	var mu sync.Mutex
	var all Accepted
	began := time.Now()
	due := make(chan int, l.Orders)
	var clients sync.WaitGroup
	for range l.Clients {
		clients.Go(func() {
			for i := range due {
				p, refused, err := c.Order(ctx, i, l.style(i))
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				all.Orders = append(all.Orders, p)
				all.Refused += refused
				note(len(all.Orders))
				mu.Unlock()
			}
		})
	}
	pace(ctx, l, due)
	clients.Wait()
	all.Took = time.Since(began)
	return all, context.Cause(ctx)
}

// style returns the style of the ith order.
func (l Load) style(i int) event.Style {
	if len(l.Styles) == 0 {
		return ""
	}
	return l.Styles[i%len(l.Styles)]
}

// pace sends the numbers of the orders when they are due, and closes the channel.
func pace(ctx context.Context, l Load, due chan<- int) {
	defer close(due)
	if l.PerSecond == 0 {
		for i := range l.Orders {
			due <- i
		}
		return
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / l.PerSecond))
	defer tick.Stop()
	for i := range l.Orders {
		select {
		case <-tick.C:
			due <- i
		case <-ctx.Done():
			return
		}
	}
}

// Order places one order of two items. It repeats the request while the service is overloaded. With
// the style "" the order service chooses.
func (c *Client) Order(ctx context.Context, i int, style event.Style) (p Placed, refused int, err error) {
	saga := ""
	if style != "" {
		saga = fmt.Sprintf(`,"saga":%q`, style)
	}
	p.Style = style
	body := fmt.Sprintf(`{"customer":{"id":"bench-%d","name":"Ada Lovelace","email":"ada@example.com"},`+
		`"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},`+
		`"items":[{"sku":%q,"quantity":1,"unitPrice":29.99},{"sku":%q,"quantity":2,"unitPrice":5.00}],"totalAmount":39.99,"currency":"GBP"%s}`,
		i%1000, sku(i), sku(i+1), saga)
	key := uuid.NewString()
	for {
		p.Sent = time.Now()
		status, answer, err := c.post(ctx, c.order+"/orders", body, key)
		p.Accepted = time.Now()
		switch {
		case err != nil:
			return p, refused, fmt.Errorf("place an order: %w", err)
		case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
			refused++
			if err := wait(ctx, retryAfter); err != nil {
				return p, refused, err
			}
			continue
		case status != http.StatusCreated:
			return p, refused, fmt.Errorf("place an order: %d %s", status, answer)
		}
		var order struct {
			OrderID string `json:"orderId"`
		}
		if err := json.Unmarshal(answer, &order); err != nil || order.OrderID == "" {
			return p, refused, errors.Join(fmt.Errorf("place an order: the answer names none: %s", answer), err)
		}
		p.ID = order.OrderID
		return p, refused, nil
	}
}

func (c *Client) post(ctx context.Context, url, body, key string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
