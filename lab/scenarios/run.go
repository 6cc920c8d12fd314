package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// perScenario bounds one scenario. The longest one waits for a delivery and for one backoff of at
// most some seconds; the rest is a margin for a slow machine.
const perScenario = 90 * time.Second

// Result is the result of one scenario.
type Result struct {
	Scenario
	Got  string
	Took time.Duration
}

// OK reports whether it went as expected.
func (r Result) OK() bool { return r.Got == r.Expected }

// Report is called while scenarios are played, from one goroutine. Its functions may be nil. Texts
// are quoted: they may repeat what a customer wrote.
type Report struct {
	Note   func(text string)                                  // before the first scenario
	Begins func(n, total int, s Scenario, left time.Duration) // n counts from 1; left is the approximate time of the rest
	Seen   func(at time.Time, text string)                    // a step of an order or of the scenario
}

// Run plays all scenarios one after the other and reports each order's steps as they happen. It
// returns the results. It returns an error only if ctx ends or the shop cannot be prepared.
func Run(ctx context.Context, ep Endpoints, report Report) (results []Result, err error) {
	s := &shop{Endpoints: ep, http: &http.Client{Timeout: 10 * time.Second}, report: report, shown: map[string]map[string]bool{}}
	if err := s.restock(ctx); err != nil {
		return nil, err
	}
	putBack, err := s.setAside(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, putBack()) }()
	all := All()
	// Customers are new in every run, so that rules and histories of an earlier run do not apply.
	run := time.Now().UTC().Format("150405")
	for i, sc := range all {
		if report.Begins != nil {
			report.Begins(i+1, len(all), sc, left(all[i:], ep.BreakerPause))
		}
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
		s.rest(ctx)
	}
	return results, nil
}

// left estimates how long scenarios take. The last one waits for a breaker.
func left(scenarios []Scenario, pause time.Duration) time.Duration {
	for _, sc := range scenarios {
		pause += sc.takes
	}
	return pause
}

// restock adds stock, so that the demo can be repeated on the same data.
func (s *shop) restock(ctx context.Context) error {
	for _, sku := range []string{widget, gadget} {
		if err := s.call(ctx, http.MethodPost, s.Inventory+"/stock/"+sku+"/receipts", map[string]any{"quantity": 20}, nil); err != nil {
			return fmt.Errorf("restock %s: %w", sku, err)
		}
	}
	return nil
}

// Summary returns the last line: how many scenarios went as expected, how many did not.
func Summary(results []Result) (line string, ok bool) {
	good := 0
	for _, r := range results {
		if r.OK() {
			good++
		}
	}
	bad := len(All()) - good // a scenario that was not reached did not go as expected
	return fmt.Sprintf("scenarios: %d as expected, %d not", good, bad), bad == 0
}
