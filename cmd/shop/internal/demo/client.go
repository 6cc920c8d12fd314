// Package demo drives the running shop over HTTP through the order saga's roads,
// happy and unhappy, and tells for each whether it went as expected. It knows the
// services by their URLs only.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"eventshop.example/pkg/kafka"
)

// Endpoints are the base URLs of what the demo talks to.
type Endpoints struct {
	Order, Payment, Inventory, Shipping, Projection string
	Gateway, Carrier                                string
	Operators                                       map[string]string // by process
	Databases                                       map[string]string // by service, to plant faults in
	Kafka                                           kafka.Cluster
}

// shop is a client of all services, with a printer for what it sees.
type shop struct {
	Endpoints
	http  *http.Client
	out   io.Writer
	shown map[string][]string // steps printed, by order
}

// problem is an answer outside 2xx.
type problem struct {
	method, url string
	status      int
	body        string
}

func (p *problem) Error() string {
	return fmt.Sprintf("%s %s: %d %s", p.method, p.url, p.status, strings.TrimSpace(p.body))
}

func statusOf(err error) int {
	var p *problem
	if errors.As(err, &p) {
		return p.status
	}
	return 0
}

// call sends one request and decodes the answer into out, unless that is nil.
func (s *shop) call(ctx context.Context, method, url string, in, out any, headers ...string) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return &problem{method, url, res.StatusCode, string(b)}
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, out)
}

// line is one item of an order; prices are in pence.
type line struct {
	sku      string
	quantity int64
	pence    int64
}

// place orders for the customer and returns the order id. within is the saga's
// deadline; 0 leaves it to the service.
func (s *shop) place(ctx context.Context, customer string, within time.Duration, lines ...line) (string, error) {
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

// timeline is the saga as the read model tells it.
func (s *shop) timeline(ctx context.Context, orderID string) ([]string, error) {
	var o struct {
		Timeline []struct{ Type, Service, Detail string } `json:"timeline"`
	}
	err := s.call(ctx, http.MethodGet, s.Projection+"/orders/"+orderID, nil, &o)
	if statusOf(err) == http.StatusNotFound {
		return nil, nil // the read model is not there yet
	}
	var steps []string
	for _, e := range o.Timeline {
		step := e.Type
		if e.Detail != "" {
			step += " (" + e.Detail + ")"
		}
		steps = append(steps, step)
	}
	return steps, err
}

// await follows the order until it has one of the statuses, printing each step
// of its saga as it happens.
func (s *shop) await(ctx context.Context, orderID string, want ...string) (string, error) {
	show := func() {
		steps, err := s.timeline(ctx, orderID)
		if err != nil {
			return // the read model is a comfort here, not the truth
		}
		for _, step := range steps {
			if !slices.Contains(s.shown[orderID], step) {
				s.say("%s", step)
				s.shown[orderID] = append(s.shown[orderID], step)
			}
		}
	}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		status, err := s.status(ctx, orderID)
		if err == nil {
			last = status
		} else if ctx.Err() == nil && statusOf(err)/100 == 4 {
			return "", err
		}
		show()
		if slices.Contains(want, last) {
			show()
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("order %s is %s, not %s, when the time is up", orderID, last, strings.Join(want, " or "))
		case <-tick.C:
		}
	}
}

// eventually asks until the condition holds or ctx ends.
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

func (s *shop) say(format string, args ...any) {
	fmt.Fprintf(s.out, "    %s  %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// fault adds a rule to the gateway or the carrier and returns how to take it back.
func (s *shop) fault(ctx context.Context, base string, rule map[string]any) (remove func() error, err error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := s.call(ctx, http.MethodPost, base+"/faults", rule, &made); err != nil {
		return nil, err
	}
	return func() error {
		// Not ctx: a rule must go even when the scenario's time is up.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := s.call(c, http.MethodDelete, base+"/faults/"+made.ID, nil, nil)
		if statusOf(err) == http.StatusNotFound {
			return nil // used up
		}
		return err
	}, nil
}

// books is what the gateway's ledger says of one order, in minor units.
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
				Amount        int64
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
				b.captures, b.captured = b.captures+1, b.captured+e.Amount
			case "refund":
				b.refunds, b.refunded = b.refunds+1, b.refunded+e.Amount
			}
		}
	}
}

// state reads the state field another service keeps for the order, or "" when it
// has none.
func (s *shop) state(ctx context.Context, url string) (string, error) {
	var v struct {
		State  string `json:"state"`
		Status string `json:"status"`
	}
	err := s.call(ctx, http.MethodGet, url, nil, &v)
	if statusOf(err) == http.StatusNotFound {
		return "", nil
	}
	if v.State == "" {
		v.State = v.Status
	}
	return v.State, err
}
