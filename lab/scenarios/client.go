// Package scenarios plays the successful and unsuccessful scenarios of the order saga in a running
// shop over HTTP, and returns for each whether it went as expected. It uses the services only by
// their URLs and databases, and prints nothing: see [Report].
package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/quote"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
)

// Endpoints are the addresses that the scenarios use.
type Endpoints struct {
	Order, Payment, Inventory, Shipping, Orchestrator, Projection string
	Gateway, Carrier                                              string
	Operators                                                     map[string]string // by process
	Databases                                                     map[string]string // by service, to plant faults in
	Kafka                                                         kafka.Cluster
	BreakerPause                                                  time.Duration // of payment's breaker when it is open
}

// shop is a client of all services that reports what it sees.
type shop struct {
	Endpoints
	http   *http.Client
	report Report
	shown  map[string]map[string]bool // the steps reported of each order, by their ids
}

// call sends one request and decodes the answer into out, unless that is nil. An answer outside 2xx
// is an [jsonhttp.Problem].
func (s *shop) call(ctx context.Context, method, address string, in, out any, headers ...string) error {
	if err := jsonhttp.New("", s.http).Call(ctx, method, address, nil, in, out, headers...); err != nil {
		return fmt.Errorf("%s %s: %w", method, address, err)
	}
	return nil
}

// line is one item of an order; prices are in pence.
type line struct {
	sku      string
	quantity int64
	pence    int64
}

// place places an order of the customer and returns its id. within is the saga's deadline; 0 means
// the service's default.
func (s *shop) place(ctx context.Context, customer string, within time.Duration, lines ...line) (string, error) {
	return s.placeStyled(ctx, customer, "", within, lines...)
}

// placeStyled is place with a style of the saga; "" leaves the choice to the service.
func (s *shop) placeStyled(ctx context.Context, customer string, style event.Style, within time.Duration, lines ...line) (string, error) {
	var total int64
	items := []map[string]any{}
	for _, l := range lines {
		total += l.pence * l.quantity
		items = append(items, map[string]any{"sku": l.sku, "quantity": l.quantity, "unitPrice": pounds(l.pence)})
	}
	body := map[string]any{
		"customer":        map[string]any{"id": customer, "name": "Ada Lovelace", "email": "ada@example.com"},
		"shippingAddress": map[string]any{"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA", "country": "GB"},
		"items":           items,
		"totalAmount":     pounds(total),
		"currency":        "GBP",
	}
	if style != "" {
		body["saga"] = style
	}
	if within > 0 {
		body["confirmWithinSeconds"] = int(within.Seconds())
	}
	var placed struct {
		OrderID string `json:"orderId"`
	}
	key := fmt.Sprintf("demo-%s-%d", customer, time.Now().UnixNano())
	if err := s.call(ctx, http.MethodPost, s.Order+"/orders", body, &placed, "Idempotency-Key", key); err != nil {
		return "", err
	}
	s.say("placed %s for %s GBP", placed.OrderID, pounds(total))
	return placed.OrderID, nil
}

func pounds(pence int64) json.Number {
	return json.Number(fmt.Sprintf("%d.%02d", pence/100, pence%100))
}

func (s *shop) cancel(ctx context.Context, orderID string) error {
	return s.call(ctx, http.MethodPost, s.Order+"/orders/"+orderID+"/cancel", map[string]any{}, nil)
}

func (s *shop) status(ctx context.Context, orderID string) (string, error) {
	var o struct {
		Status string `json:"status"`
	}
	err := s.call(ctx, http.MethodGet, s.Order+"/orders/"+orderID, nil, &o)
	return o.Status, err
}

// eventually repeats the condition until it holds or ctx ends.
func eventually(ctx context.Context, what string, condition func() (bool, error)) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := condition()
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return fmt.Errorf("%s: not when the time was up", what)
		case <-tick.C:
		}
	}
}

func (s *shop) say(format string, args ...any) { s.sayAt(time.Now(), format, args...) }

// sayAt reports what happened at a time. It quotes text from the services, which may be a
// customer's.
func (s *shop) sayAt(at time.Time, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = quote.Text(text)
		}
	}
	if s.report.Seen != nil {
		s.report.Seen(at, fmt.Sprintf(format, args...))
	}
}

// fault adds a rule to the gateway or the carrier. remove removes it.
func (s *shop) fault(ctx context.Context, base string, rule map[string]any) (remove func() error, err error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := s.call(ctx, http.MethodPost, base+"/faults", rule, &made); err != nil {
		return nil, err
	}
	return func() error {
		// Not ctx: the rule must be removed even if the scenario's time is up.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := s.call(c, http.MethodDelete, base+"/faults/"+made.ID, nil, nil)
		if jsonhttp.StatusOf(err) == http.StatusNotFound {
			return nil // used up
		}
		return err
	}, nil
}

// books sums up the gateway's ledger for one order, in minor units.
type books struct {
	captures, refunds  int
	captured, refunded int64
}

func (b books) net() int64 { return b.captured - b.refunded }

func (s *shop) books(ctx context.Context, orderID string) (books, error) {
	var b books
	for after := int64(0); ; {
		var page struct {
			Entries []struct {
				Seq           int64
				OrderID, Kind string
				AmountMinor   int64
			}
		}
		if err := s.call(ctx, http.MethodGet, fmt.Sprintf("%s/v1/ledger?after=%d", s.Gateway, after), nil, &page); err != nil {
			return b, err
		}
		if len(page.Entries) == 0 {
			return b, nil
		}
		for _, e := range page.Entries {
			after = e.Seq
			if e.OrderID != orderID {
				continue
			}
			switch e.Kind {
			case "capture":
				b.captures, b.captured = b.captures+1, b.captured+e.AmountMinor
			case "refund":
				b.refunds, b.refunded = b.refunds+1, b.refunded+e.AmountMinor
			}
		}
	}
}

// state reads another service's status of the order, or "" if it has none.
func (s *shop) state(ctx context.Context, url string) (string, error) {
	var v struct {
		Status string `json:"status"`
	}
	err := s.call(ctx, http.MethodGet, url, nil, &v)
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return "", nil
	}
	return v.Status, err
}
