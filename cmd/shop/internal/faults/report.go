package faults

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// progress tells how one fault went, in a line, and in more when it did not go well.
func progress(out io.Writer, r Result) {
	mark := "ok "
	if !r.OK() {
		mark = "NOT"
	}
	fmt.Fprintf(out, "  %s  %s; verify %s; %.1f s\n", mark, r.seen(), r.verdict(), r.Took.Seconds())
	for _, f := range r.Failures {
		fmt.Fprintf(out, "       %s\n", f)
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

// seen says in words what was seen.
func (r Result) seen() string {
	f := r.Figures
	var parts []string
	if f.Orders > 0 {
		ended := []string{}
		for _, status := range []string{delivered, cancelled, "SHIPPED", confirmed, cancelling, pending} {
			if n := f.Ended[status]; n > 0 {
				ended = append(ended, fmt.Sprintf("%d %s", n, status))
			}
		}
		parts = append(parts, fmt.Sprintf("%d orders: %s", f.Orders, strings.Join(ended, ", ")))
	}
	if figures := r.figures(); figures != "" {
		parts = append(parts, figures)
	}
	return strings.Join(append(parts, r.Seen...), "; ")
}

// verdict is what the invariants say.
func (r Result) verdict() string {
	if len(r.Findings) == 0 {
		return "not run"
	}
	var broken []string
	for _, f := range r.Broken() {
		broken = append(broken, f.Invariant)
	}
	if len(broken) > 0 {
		return "BREACH " + strings.Join(broken, ", ")
	}
	return "ok"
}

// Print writes the results as a table.
func Print(out io.Writer, results []Result) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tFAULT\tORDERS\tDELIVERED\tCANCELLED\tDUPLICATES\tRETRIES\tDEAD\tOPENED\tRECOVERED\tVERIFY\tTOOK")
	family := ""
	for _, r := range results {
		if r.Fault.Family != family {
			family = r.Fault.Family
			fmt.Fprintf(w, "\t%s\t\t\t\t\t\t\t\t\t\t\n", strings.ToUpper(family))
		}
		mark, f := "ok", r.Figures
		if !r.OK() {
			mark = "NOT"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f s\t%s\t%.1f s\n", mark, r.Fault.Name, f.Orders, f.Ended[delivered],
			f.Ended[cancelled], f.Duplicates, f.Retries, f.DeadLetters, f.Opened, f.Recovered.Seconds(), r.verdict(), r.Took.Seconds())
	}
	w.Flush() //nolint:errcheck // the terminal is gone then
}

// Markdown writes the results as a table for a document. Times and numbers are rounded:
// the next run has others.
func Markdown(out io.Writer, results []Result) {
	fmt.Fprintln(out, "| what is broken | what the shop makes of it | seen | goes on after |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, r := range results {
		verdict := ""
		if !r.OK() {
			verdict = "; **not as expected**"
		}
		seen := fmt.Sprintf("%d orders", r.Figures.Orders)
		if figures := r.figures(); figures != "" {
			seen += ", " + figures
		}
		fmt.Fprintf(out, "| %s | %s | %s%s | %s |\n", r.Fault.Done, r.Fault.Expect, seen, verdict, about(r.Figures.Recovered))
	}
}

// figures says what was counted, without the orders.
func (r Result) figures() string {
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

// about rounds a time for people.
func about(d time.Duration) string {
	switch {
	case d < 500*time.Millisecond:
		return "at once"
	default:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	}
}

// JSON is the results as programs read them; durations are in seconds.
func JSON(results []Result, took time.Duration) any {
	type row struct {
		Name      string   `json:"name"`
		Family    string   `json:"family"`
		Done      string   `json:"done"`
		Expected  string   `json:"expected"`
		OK        bool     `json:"ok"`
		Figures   Figures  `json:"figures"`
		Recovered float64  `json:"recoveredSeconds"`
		Took      float64  `json:"tookSeconds"`
		Seen      []string `json:"seen"`
		Failures  []string `json:"failures"`
		Verify    string   `json:"verify"`
		Breaches  []string `json:"breaches"`
	}
	all := struct {
		Faults []row   `json:"faults"`
		OK     bool    `json:"ok"`
		Took   float64 `json:"tookSeconds"`
	}{Faults: []row{}, Took: took.Seconds()}
	_, all.OK = Summary(results, took)
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
			Seen: append([]string{}, r.Seen...), Failures: append([]string{}, r.Failures...), Verify: r.verdict(), Breaches: breaches,
		})
	}
	return all
}

// Summary is the last line: how many faults went as expected, how many not.
func Summary(results []Result, took time.Duration) (line string, ok bool) {
	good := 0
	for _, r := range results {
		if r.OK() {
			good++
		}
	}
	return fmt.Sprintf("faults: %d as expected, %d not, in %d s", good, len(results)-good, int(took.Seconds())), good == len(results)
}
