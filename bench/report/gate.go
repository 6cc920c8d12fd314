package report

import (
	"fmt"
	"math"
)

// Limit bounds a count, or a ratio, of one benchmark. Nothing else can be a limit: a time is the
// machine's.
type Limit struct {
	Bench, What string
	Over        string  // "" bounds the value of the first side; otherwise its ratio to this side
	Most, Least float64 // a bound of 0 is none
	Why         string  // why it is this number
}

// Gate compares results with limits and returns a sentence per limit that does not hold. A limit of
// a benchmark that ran without measuring the quantity does not hold either. Benchmarks that did not
// run have no limits.
func Gate(limits []Limit, results []*Result) []string {
	var broken []string
	for _, r := range results {
		for _, l := range limits {
			if l.Bench == r.Name {
				if why := l.breach(r); why != "" {
					broken = append(broken, why)
				}
			}
		}
		for _, why := range r.Withheld {
			broken = append(broken, r.Name+": "+why)
		}
	}
	return broken
}

func (l Limit) breach(r *Result) string {
	row := r.Find(l.What)
	if row == nil {
		return fmt.Sprintf("%s: %s was not measured", l.Bench, l.What)
	}
	name, value := fmt.Sprintf("%s: %s", l.Bench, l.What), row.Spread(r.First()).Median
	switch {
	case l.Over != "":
		name, value = name+", "+r.First()+"/"+l.Over, row.Ratio(l.Over).Median
	case row.Kind != Count:
		return fmt.Sprintf("%s is a %s, which is no limit's business", name, row.Kind)
	}
	switch {
	case math.IsNaN(value):
		return name + " was not measured"
	case l.Most > 0 && value > l.Most:
		return fmt.Sprintf("%s is %s, at most %s (%s)", name, Number(value), Number(l.Most), l.Why)
	case l.Least > 0 && value < l.Least:
		return fmt.Sprintf("%s is %s, at least %s (%s)", name, Number(value), Number(l.Least), l.Why)
	}
	return ""
}
