package report

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"eventshop.example/bench/measure"
)

// Table writes a result as text: a line per quantity, a column per side, and the ratio of the first
// side to each other side that has the quantity.
func Table(out io.Writer, r *Result) error {
	fmt.Fprintf(out, "\n%s: %s\n\n", r.Name, r.About)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := append([]string{""}, r.Sides...)
	for _, side := range others(r) {
		head = append(head, r.First()+"/"+side)
	}
	fmt.Fprintln(w, strings.Join(append(head, "target"), "\t"))
	for _, row := range r.Rows {
		cells := []string{row.What + unit(row.Unit)}
		for _, side := range r.Sides {
			cells = append(cells, cell(r, row, row.Spread(side)))
		}
		for _, side := range others(r) {
			cells = append(cells, cell(r, row, row.Ratio(side)))
		}
		fmt.Fprintln(w, strings.Join(append(cells, row.Target), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "\n- %s", note)
	}
	for _, why := range r.Withheld {
		fmt.Fprintf(out, "\n- no rate is shown: %s", why)
	}
	_, err := fmt.Fprintln(out)
	return err
}

func others(r *Result) []string {
	var names []string
	for _, side := range r.Sides {
		if side != r.First() {
			names = append(names, side)
		}
	}
	return names
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return ", " + u
}

// cell formats a spread: the median, and the range where there are several values.
func cell(r *Result, row *Row, s measure.Spread) string {
	switch {
	case math.IsNaN(s.Median):
		return ""
	case row.Kind == Rate && len(r.Withheld) > 0:
		return "withheld"
	case Number(s.Min) == Number(s.Max):
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", Number(s.Median), Number(s.Min), Number(s.Max))
}

// Number formats a value with two to four significant digits.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100 || a == math.Trunc(a):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
}
