package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"eventshop.example/bench/report"
)

func chosenNames(t *testing.T, args ...string) []string {
	t.Helper()
	o, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range o.chosen() {
		all = append(all, b.name)
	}
	return all
}

func TestNamesChooseBenchmarks(t *testing.T) {
	t.Parallel()
	if got, want := chosenNames(t, "--quick"), []string{"sagas", "low", "styles", "post", "consumer", "growth", "rebuild"}; !slices.Equal(got, want) {
		t.Errorf("a quick run has %v, want %v", got, want)
	}
	if got := chosenNames(t); slices.Contains(got, "relays") || slices.Contains(got, "sustained") || !slices.Contains(got, "drain") {
		t.Errorf("a run without names has %v", got)
	}
	if got, want := chosenNames(t, "relays", "--quick", "sagas"), []string{"sagas", "relays"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"post", "--quick", "--against", "92acbca"}, io.Discard)
	if err != nil || o.rounds != 1 || o.against != "92acbca" || !o.quick {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err = parse(nil, io.Discard); err != nil || o.rounds != 3 {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{"sagas", "saga"}, {"--rounds", "-1"}, {"--for", "0s"}, {"--rows", "3"}, {"--fast"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	if _, err := parse([]string{"saga"}, io.Discard); err == nil || !strings.Contains(err.Error(), "sagas, low, styles, post") {
		t.Errorf("an unknown name: %v", err)
	}
}

// A limit on a quantity that no benchmark has would never hold; one without a bound always would.
func TestLimitsAreOfQuickBenchmarks(t *testing.T) {
	t.Parallel()
	quick := chosenNames(t, "--quick")
	seen := map[string]bool{}
	for _, l := range limits() {
		if !slices.Contains(quick, l.Bench) {
			t.Errorf("%s: %s is never measured by a quick run", l.Bench, l.What)
		}
		if l.Most <= 0 && l.Least <= 0 || l.Why == "" {
			t.Errorf("%s: %s has no bound or no reason", l.Bench, l.What)
		}
		seen[l.Bench] = true
	}
	for _, name := range quick {
		if !seen[name] {
			t.Errorf("%s has no limit, so it is no gate", name)
		}
	}
}

func TestCodecsAreRead(t *testing.T) {
	t.Parallel()
	r := report.New("codec", "", report.Ours)
	err := addCodecs(r, `goos: linux
BenchmarkEncode/OrderCreated/hamba-2         	  500000	      2100 ns/op	     512 B/op	       3 allocs/op
BenchmarkEncode/OrderCreated/schema-2        	  500000	      1900 ns/op	     600 B/op	       4 allocs/op
PASS
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Find("encode OrderCreated, ns").Ratio(hamba).Median; got < .904 || got > .905 {
		t.Errorf("ratio %v, want 1900/2100", got)
	}
	if got := r.Find("encode OrderCreated, allocs").Spread(report.Ours).Median; got != 4 {
		t.Errorf("%v allocations, want 4", got)
	}
	if err := addCodecs(r, "PASS\n"); err == nil {
		t.Error("no benchmark ran, and that is no error")
	}
}

func TestMetric(t *testing.T) {
	t.Parallel()
	const text = "# TYPE go_goroutines gauge\ngo_goroutines_other 9\ngo_goroutines 41\n"
	if got, err := metric(strings.NewReader(text), "go_goroutines"); err != nil || got != 41 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := metric(strings.NewReader(text), "go_threads"); err == nil {
		t.Error("a metric that is not there is read")
	}
}

func TestThirds(t *testing.T) {
	t.Parallel()
	values := []int{1, 1, 4, 6, 10, 20, 30}
	for third, want := range []float64{1, 5, 20} {
		if got := mean(values, third); got != want {
			t.Errorf("mean of third %d is %v, want %v", third, got, want)
		}
	}
	if got := mean(nil, 1); got != 0 {
		t.Errorf("mean of nothing is %v", got)
	}
}
