// Package measure has what every benchmark counts with: medians and their ranges, ratios of paired
// runs, quantiles, and the processor time and memory of processes.
//
// Milliseconds and rates are those of one machine at one moment. Ratios of runs that were made in
// turns are what carries over to another machine, so they are computed per pair and not from two
// medians.
package measure

import (
	"math"
	"slices"
	"time"
)

// Spread is the median of several values and their range. Without values all three are NaN.
type Spread struct {
	Median, Min, Max float64
}

// SpreadOf returns the spread of values. The median of an even number is the mean of the middle two.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	s := Spread{Median: sorted[middle], Min: sorted[0], Max: sorted[len(sorted)-1]}
	if len(sorted)%2 == 0 {
		s.Median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return s
}

// Ratios returns the spread of ours[i]/theirs[i]: each value is divided by that of the same round. A
// round without a counterpart, or whose counterpart is 0, is left out.
func Ratios(ours, theirs []float64) Spread {
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] != 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	return SpreadOf(ratios)
}

// Harmonic returns the rate of work that passes one stage after the other, each at its own rate:
// 1/(1/a + 1/b + …). A rate that is not positive makes it 0.
func Harmonic(rates ...float64) float64 {
	var sum float64
	for _, r := range rates {
		if r <= 0 {
			return 0
		}
		sum += 1 / r
	}
	if sum == 0 {
		return 0
	}
	return 1 / sum
}

// Quantile returns the smallest value that at least the share q of all values does not exceed
// ("nearest rank"), in milliseconds. It is a measured value. Without values it is NaN.
func Quantile(values []time.Duration, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return Milliseconds(sorted[min(max(rank, 1), len(sorted))-1])
}

// Milliseconds converts a duration.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Turns returns the order in which the sides run in a round, counted from 0: every second round is
// reversed, so that no side always has the warmer machine.
func Turns[T any](round int, sides []T) []T {
	turn := slices.Clone(sides)
	if round%2 == 1 {
		slices.Reverse(turn)
	}
	return turn
}
