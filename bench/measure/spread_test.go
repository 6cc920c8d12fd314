package measure

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 2, 9}, Spread{3, 1, 9}},
	} {
		if got := SpreadOf(test.values); got != test.want {
			t.Errorf("spread of %v is %+v, want %+v", test.values, got, test.want)
		}
	}
	if none := SpreadOf(nil); !math.IsNaN(none.Median) || !math.IsNaN(none.Min) || !math.IsNaN(none.Max) {
		t.Errorf("spread of no values is %+v", none)
	}
}

// A machine that becomes slower from round to round changes every value and no ratio. The ratio of
// the medians would hide the second round.
func TestRatiosArePaired(t *testing.T) {
	t.Parallel()
	if got, want := Ratios([]float64{100, 50, 10}, []float64{200, 100, 20}), (Spread{.5, .5, .5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := Ratios([]float64{10, 90, 20}, []float64{10, 30, 40}), (Spread{1, .5, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := Ratios([]float64{10, 90, 5}, []float64{10, 0}), (Spread{1, 1, 1}); got != want {
		t.Errorf("a round without a counterpart counts: %+v, want %+v", got, want)
	}
}

func TestHarmonic(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rates []float64
		want  float64
	}{{nil, 0}, {[]float64{8}, 8}, {[]float64{4, 4}, 2}, {[]float64{6, 3, 2}, 1}, {[]float64{5, 0}, 0}} {
		if got := Harmonic(test.rates...); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("Harmonic(%v) is %v, want %v", test.rates, got, test.want)
		}
	}
}

func TestQuantileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 1, .5: 50, .9: 90, .99: 99, 1: 100} {
		if got := Quantile(hundred, q); got != want {
			t.Errorf("quantile %v is %v ms, want %v", q, got, want)
		}
	}
	if got := Quantile(nil, .5); !math.IsNaN(got) {
		t.Errorf("quantile of no values is %v", got)
	}
}

func TestTurnsAlternate(t *testing.T) {
	t.Parallel()
	sides := []string{"ours", "peer", "limit"}
	for round, want := range [][]string{{"ours", "peer", "limit"}, {"limit", "peer", "ours"}, {"ours", "peer", "limit"}} {
		if got := Turns(round, sides); !slices.Equal(got, want) {
			t.Errorf("round %d: %v, want %v", round, got, want)
		}
	}
	if sides[0] != "ours" {
		t.Error("Turns changes its argument")
	}
}
