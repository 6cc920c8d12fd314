package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// perScenario bounds one scenario. The longest waits for a parcel to be
// delivered and for one backoff of at most some seconds; the rest is room for a
// slow machine.
const perScenario = 90 * time.Second

// Result is how one scenario went.
type Result struct {
	Scenario
	Got  string
	Took time.Duration
}

// OK tells whether it went as expected.
func (r Result) OK() bool { return r.Got == r.Expected }

// Run plays all scenarios, one after the other, printing each order's path as it
// happens and a table at the end. It returns the results; an error only when ctx
// ends.
func Run(ctx context.Context, ep Endpoints, out io.Writer) ([]Result, error) {
	s := &shop{Endpoints: ep, http: &http.Client{Timeout: 10 * time.Second}, out: out, shown: map[string][]string{}}
	if err := s.restock(ctx); err != nil {
		return nil, err
	}
	var results []Result
	// Customers are new in every run: rules and histories of an earlier one do not count.
	run := time.Now().UTC().Format("150405")
	for i, sc := range Scenarios() {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, sc.Name)
		began := time.Now()
		c, cancel := context.WithTimeout(ctx, perScenario)
		got, err := sc.run(c, s, fmt.Sprintf("cust-%s-%d", run, i+1))
		cancel()
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		if err != nil {
			got = strings.TrimSpace(got + " error: " + err.Error())
		}
		results = append(results, Result{sc, got, time.Since(began)})
	}
	table(out, results)
	return results, nil
}

// restock makes sure that the scenarios do not run dry when the demo is repeated
// on the same data.
func (s *shop) restock(ctx context.Context) error {
	for _, sku := range []string{widget, gadget} {
		if err := s.call(ctx, http.MethodPost, s.Inventory+"/stock/"+sku+"/receipts", map[string]any{"quantity": 20}, nil); err != nil {
			return fmt.Errorf("restock %s: %w", sku, err)
		}
	}
	return nil
}

func table(out io.Writer, results []Result) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tSCENARIO\tEXPECTED\tGOT\tMS")
	for _, r := range results {
		mark := "ok"
		if !r.OK() {
			mark = "NOT"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", mark, r.Name, r.Expected, r.Got, r.Took.Milliseconds())
	}
	w.Flush() //nolint:errcheck // the terminal is gone then
}

// Tour prints the URLs and what to try next.
func Tour(out io.Writer, ep Endpoints) {
	fmt.Fprintf(out, `
The shop is open:
  order       %[1]s        POST /orders, GET /orders/{id}, POST /orders/{id}/cancel, GET /orders/{id}/events
  payment     %[2]s        GET /payments/{orderId}
  inventory   %[3]s        GET /stock, POST /stock/{sku}/receipts, GET /reservations/{orderId}
  shipping    %[4]s        GET /shipments/{orderId}
  projection  %[5]s        GET /orders, GET /orders/{id}, GET /customers/{id}/orders, GET /revenue
  gateway     %[6]s        GET /v1/ledger, POST /faults (simulated)
  carrier     %[7]s        GET /v1/updates, POST /faults (simulated)

Try:
  curl -s %[1]s/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' -d '{
    "customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},
    "shippingAddress": {"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},
    "items": [{"sku": "WIDGET-01", "quantity": 2, "unitPrice": 29.99}, {"sku": "GADGET-05", "quantity": 1, "unitPrice": 40.01}],
    "totalAmount": 99.99, "currency": "GBP"}'
  curl -s %[5]s/customers/cust-7/orders
  curl -s '%[5]s/orders?status=CANCELLED&limit=5'
  curl -s %[5]s/revenue
  curl -s %[3]s/stock
`, ep.Order, ep.Payment, ep.Inventory, ep.Shipping, ep.Projection, ep.Gateway, ep.Carrier)
}

// Summary is the last line: how many scenarios went as expected, how many not.
func Summary(results []Result) (line string, ok bool) {
	good := 0
	for _, r := range results {
		if r.OK() {
			good++
		}
	}
	bad := len(Scenarios()) - good // one that was not reached did not go as expected
	return fmt.Sprintf("scenarios: %d as expected, %d not", good, bad), bad == 0
}
