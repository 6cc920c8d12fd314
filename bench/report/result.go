// Package report keeps what benchmarks measured and shows it: as a table, as JSON, and as a plot.
// It also compares counts and ratios with their limits.
package report

import (
	"fmt"
	"slices"

	"eventshop.example/bench/measure"
)

// Ours is the name of the side that is measured, where it is the shop of this repository. Other sides
// are peers and limits.
const Ours = "ours"

// Result is what one benchmark measured. Create it with [New].
type Result struct {
	Name     string   `json:"name"`
	About    string   `json:"about"`
	Sides    []string `json:"sides"` // in the order of their columns; the first is the one that is measured
	Rows     []*Row   `json:"rows"`
	Notes    []string `json:"notes,omitempty"`
	Withheld []string `json:"withheld,omitempty"` // why no rate is shown: breaches of invariants
}

// Row is one quantity, with a value per round of each side that has it.
type Row struct {
	What   string               `json:"what"`
	Unit   string               `json:"unit"`
	Kind   Kind                 `json:"kind"`
	Target string               `json:"target,omitempty"` // of the ratio, or of the value where there is no other side
	Values map[string][]float64 `json:"values"`           // by side

	first string // the side that is measured
}

// Kind is how a quantity may be used.
type Kind string

// A count hardly depends on the machine, so it can be a gate. A time and a rate are those of one
// machine at one moment; only their ratios carry over. A rate is not shown when an invariant is
// broken: work that is done wrong has no speed.
const (
	Count Kind = "count"
	Time  Kind = "time"
	Rate  Kind = "rate"
)

// New returns a result without rows.
func New(name, about string, sides ...string) *Result {
	return &Result{Name: name, About: about, Sides: sides}
}

// First returns the side that is measured: the first of Sides, which must not change once there are rows.
func (r *Result) First() string {
	if len(r.Sides) == 0 {
		return Ours
	}
	return r.Sides[0]
}

// Row returns the row of a quantity, and creates it at the first call.
func (r *Result) Row(what, unit string, kind Kind) *Row {
	if row := r.Find(what); row != nil {
		return row
	}
	row := &Row{What: what, Unit: unit, Kind: kind, Values: map[string][]float64{}, first: r.First()}
	r.Rows = append(r.Rows, row)
	return row
}

// Find returns a row, or nil.
func (r *Result) Find(what string) *Row {
	i := slices.IndexFunc(r.Rows, func(row *Row) bool { return row.What == what })
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// Add adds the value of one round.
func (row *Row) Add(side string, value float64) *Row {
	row.Values[side] = append(row.Values[side], value)
	return row
}

// Aim sets the target that the row is to reach.
func (row *Row) Aim(target string) { row.Target = target }

// Spread returns the median and range of a side.
func (row *Row) Spread(side string) measure.Spread { return measure.SpreadOf(row.Values[side]) }

// Ratio returns the side that is measured divided by another side, round by round.
func (row *Row) Ratio(over string) measure.Spread {
	return measure.Ratios(row.Values[row.first], row.Values[over])
}

// Note adds a remark below the table.
func (r *Result) Note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, note) {
		r.Notes = append(r.Notes, note)
	}
}

// Withhold records why the rates of this result are not to be believed.
func (r *Result) Withhold(format string, args ...any) {
	r.Withheld = append(r.Withheld, fmt.Sprintf(format, args...))
}
