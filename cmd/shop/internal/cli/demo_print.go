package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/lab/scenarios"
	"eventshop.example/ops/quote"
)

// play plays the scenarios. It prints each order's steps as they happen, and a table at the end.
func (e *env) play(ctx context.Context, ep scenarios.Endpoints) ([]scenarios.Result, error) {
	var p *term.Progress
	defer func() { p.Stop() }()
	results, err := scenarios.Run(ctx, ep, scenarios.Report{
		Note: func(text string) { fmt.Fprintln(e.out, text) },
		Begins: func(n, total int, s scenarios.Scenario, left time.Duration) {
			if n == 1 {
				p = term.Start(e.errOut, "playing the scenarios", 0)
			}
			p.Note("playing scenario %d of %d", n, total)
			p.Left(left)
			fmt.Fprintf(e.out, "\n%d. %s\n", n, term.Paint(e.out, term.Bold, s.Name))
		},
		Seen: func(at time.Time, text string) { printSeen(e.out, at, text) },
	})
	if err != nil {
		return results, err
	}
	p.Stop()
	return results, printScenarios(e.out, results)
}

// printSeen prints a step of an order or of a scenario.
func printSeen(out io.Writer, at time.Time, text string) {
	fmt.Fprintf(out, "    %s  %s\n", at.Local().Format("15:04:05.000"), text)
}

// printScenarios prints the results of the scenarios as a table.
func printScenarios(out io.Writer, results []scenarios.Result) error {
	fmt.Fprintln(out)
	var rows [][]string
	for _, r := range results {
		mark, got := "ok", "as expected"
		if !r.OK() {
			mark, got = "NOT", quote.Text(r.Got)
		}
		rows = append(rows, []string{term.State(out, mark), r.Name, r.Expected, got, fmt.Sprintf("%.1f s", r.Took.Seconds())})
	}
	return term.Columns(out, []string{"", "SCENARIO", "EXPECTED", "GOT", "TOOK"}, rows)
}

// tour returns suggestions for what to try next, as shell commands.
func tour(ep scenarios.Endpoints) string {
	return fmt.Sprintf(`
Try:
  curl -s %[1]s/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first' -d '{
    "customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},
    "shippingAddress": {"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},
    "items": [{"sku": "WIDGET-01", "quantity": 2, "unitPrice": 29.99},
              {"sku": "GADGET-05", "quantity": 1, "unitPrice": 40.01}],
    "totalAmount": 99.99, "currency": "GBP"}'
  curl -s %[2]s/customers/cust-7/orders
  curl -s '%[2]s/orders?status=CANCELLED&limit=5'
  curl -s %[2]s/revenue
  curl -s %[3]s/stock
`, ep.Order, ep.Projection, ep.Inventory)
}
