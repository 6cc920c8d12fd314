package report

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"eventshop.example/bench/measure"
)

// Conditions are what figures depend on besides the code.
type Conditions struct {
	At       time.Time         `json:"at"`
	Commit   string            `json:"commit"`
	Machine  string            `json:"machine"`
	Settings map[string]string `json:"settings"` // of the database server: what durability rests on
	Quick    bool              `json:"quick"`    // small runs: their counts mean something, their rates little
}

// document is the JSON of a result.
type document struct {
	Conditions
	*Result
	Ratios map[string]map[string]*spread `json:"ratios"` // by quantity and side
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Write writes NAME.json and NAME.svg into the folder. Withheld rates are in neither.
func Write(dir string, r *Result, c Conditions) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	shown := *r
	shown.Rows = nil
	doc := document{Conditions: c, Result: &shown, Ratios: map[string]map[string]*spread{}}
	for _, row := range r.Rows {
		if row.Kind == Rate && len(r.Withheld) > 0 {
			continue
		}
		shown.Rows = append(shown.Rows, finite(row))
		for _, side := range others(r) {
			if s := row.Ratio(side); !math.IsNaN(s.Median) {
				if doc.Ratios[row.What] == nil {
					doc.Ratios[row.What] = map[string]*spread{}
				}
				doc.Ratios[row.What][side] = spreadOf(s)
			}
		}
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", r.Name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name+".json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	plot, err := os.Create(filepath.Join(dir, r.Name+".svg"))
	if err != nil {
		return err
	}
	if err := Plot(plot, r); err != nil {
		plot.Close() //nolint:errcheck // the first error counts
		return fmt.Errorf("plot %s: %w", r.Name, err)
	}
	return plot.Close()
}

func spreadOf(s measure.Spread) *spread { return &spread{s.Median, s.Min, s.Max} }

// finite returns a copy of the row without values that JSON cannot express.
func finite(row *Row) *Row {
	copied := *row
	copied.Values = map[string][]float64{}
	for side, values := range row.Values {
		for _, v := range values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				copied.Values[side] = append(copied.Values[side], v)
			}
		}
	}
	return &copied
}
