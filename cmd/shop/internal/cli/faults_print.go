package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/lab/faults"
	"eventshop.example/ops/quote"
)

// printFault prints the result of one fault: one line, or more if it failed.
func printFault(out io.Writer, r faults.Result) {
	mark := "ok "
	if !r.OK() {
		mark = "NOT"
	}
	fmt.Fprintf(out, "  %s  %s; verify %s; %.1f s\n", term.State(out, mark), quote.Full(seenOf(r)), r.Verdict(), r.Took.Seconds())
	for _, f := range r.Failures {
		for line := range strings.Lines(f) {
			fmt.Fprintf(out, "       %s\n", quote.Full(strings.TrimSuffix(line, "\n")))
		}
	}
	for _, f := range r.Broken() {
		for i, b := range f.Breaches {
			if i == 5 {
				fmt.Fprintf(out, "       … and %d more\n", len(f.Breaches)-i)
				break
			}
			fmt.Fprintf(out, "       %s: %s\n", f.Invariant, b)
		}
	}
}

// seenOf describes the observations.
func seenOf(r faults.Result) string {
	f := r.Figures
	var parts []string
	if f.Orders > 0 {
		ended := []string{}
		for _, status := range []string{"DELIVERED", "CANCELLED", "SHIPPED", "CONFIRMED", "CANCELLING", "PENDING"} {
			if n := f.Ended[status]; n > 0 {
				ended = append(ended, fmt.Sprintf("%d %s", n, status))
			}
		}
		parts = append(parts, fmt.Sprintf("%d orders: %s", f.Orders, strings.Join(ended, ", ")))
	}
	if figures := figuresOf(r); figures != "" {
		parts = append(parts, figures)
	}
	return strings.Join(append(parts, r.Seen...), "; ")
}

// printFaults prints the results as a table.
func printFaults(out io.Writer, results []faults.Result) {
	fmt.Fprintln(out)
	var rows [][]string
	family := ""
	for _, r := range results {
		if r.Fault.Family != family {
			family = r.Fault.Family
			rows = append(rows, []string{"", strings.ToUpper(family)})
		}
		mark, f := "ok", r.Figures
		if !r.OK() {
			mark = "NOT"
		}
		rows = append(rows, []string{term.State(out, mark), r.Fault.Name, strconv.Itoa(f.Orders), strconv.Itoa(f.Ended["DELIVERED"]),
			strconv.Itoa(f.Ended["CANCELLED"]), strconv.Itoa(f.Duplicates), strconv.Itoa(f.Retries), strconv.Itoa(f.DeadLetters),
			strconv.Itoa(f.Opened), fmt.Sprintf("%.1f s", f.Recovered.Seconds()), fmt.Sprintf("%.1f s", r.Took.Seconds()),
			term.State(out, r.Verdict())})
	}
	term.Columns(out, []string{"", "FAULT", "ORDERS", "DLVD", "CNCLD", "DUPL", "RETRIES", "DEAD", "OPENED", "BACK", "TOOK", "VERIFY"}, rows) //nolint:errcheck // the terminal is gone then
}

// faultsMarkdown prints the results as a table for a document. Times and numbers are rounded,
// because they differ in the next run.
func faultsMarkdown(out io.Writer, results []faults.Result) {
	fmt.Fprintln(out, "| what is broken | what the shop makes of it | seen | goes on after |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, r := range results {
		verdict := ""
		if !r.OK() {
			verdict = "; **not as expected**"
		}
		seen := fmt.Sprintf("%d orders", r.Figures.Orders)
		if figures := figuresOf(r); figures != "" {
			seen += ", " + figures
		}
		fmt.Fprintf(out, "| %s | %s | %s%s | %s |\n", r.Fault.Done, r.Fault.Expect, seen, verdict, roundly(r.Figures.Recovered))
	}
}

// figuresOf describes the counts, without the orders.
func figuresOf(r faults.Result) string {
	f, parts := r.Figures, []string{}
	for _, c := range []struct {
		n         int
		one, many string
	}{
		{f.Duplicates, "duplicate", "duplicates"},
		{f.Retries, "retry", "retries"},
		{f.DeadLetters, "dead letter", "dead letters"},
		{f.Opened, "breaker opening", "breaker openings"},
	} {
		switch c.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+c.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(parts, ", ")
}

// roundly rounds a duration for people.
func roundly(d time.Duration) string {
	switch {
	case d < 500*time.Millisecond:
		return "at once"
	default:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	}
}

// faultsJSON returns the results for programs; durations are in seconds.
func faultsJSON(results []faults.Result, took time.Duration) any {
	type row struct {
		Name      string         `json:"name"`
		Family    string         `json:"family"`
		Done      string         `json:"done"`
		Expected  string         `json:"expected"`
		OK        bool           `json:"ok"`
		Figures   faults.Figures `json:"figures"`
		Recovered float64        `json:"recoveredSeconds"`
		Took      float64        `json:"tookSeconds"`
		Seen      []string       `json:"seen"`
		Failures  []string       `json:"failures"`
		Verify    string         `json:"verify"`
		Breaches  []string       `json:"breaches"`
	}
	all := struct {
		Faults []row   `json:"faults"`
		OK     bool    `json:"ok"`
		Took   float64 `json:"tookSeconds"`
	}{Faults: []row{}, Took: took.Seconds()}
	_, all.OK = faults.Summary(results, took)
	for _, r := range results {
		breaches := []string{}
		for _, f := range r.Broken() {
			for _, b := range f.Breaches {
				breaches = append(breaches, f.Invariant+": "+b)
			}
		}
		all.Faults = append(all.Faults, row{
			Name: r.Fault.Name, Family: r.Fault.Family, Done: r.Fault.Done, Expected: r.Fault.Expect, OK: r.OK(),
			Figures: r.Figures, Recovered: r.Figures.Recovered.Seconds(), Took: r.Took.Seconds(),
			Seen: append([]string{}, r.Seen...), Failures: append([]string{}, r.Failures...), Verify: r.Verdict(), Breaches: breaches,
		})
	}
	return all
}
