package backoff_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"eventshop.example/pkg/backoff"
)

// Example shows the waits after the first six failures, without their jitter.
func Example() {
	p := backoff.Policy{Base: 100 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5}
	for attempt := range 6 {
		fmt.Println(p.WaitAt(attempt, 0))
	}
	// Output:
	// 100ms
	// 200ms
	// 400ms
	// 800ms
	// 1.6s
	// 2s
}

// ExamplePolicy_plateau spreads callers that wait for as long as possible: each waits between 5 s
// and 10 s.
func ExamplePolicy_plateau() {
	p := backoff.Policy{Base: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 1, Plateau: 5 * time.Second}
	for _, random := range []float64{0, 0.25, 0.75} {
		fmt.Println(p.WaitAt(1000, random))
	}
	// Output:
	// 5s
	// 6.25s
	// 8.75s
}

func TestWaitAt(t *testing.T) {
	t.Parallel()
	half := backoff.Policy{Base: 100 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.5}
	flat := backoff.Policy{Base: 50 * time.Millisecond, Max: 5 * time.Second, Jitter: 1, Plateau: 2500 * time.Millisecond}
	for name, c := range map[string]struct {
		policy  backoff.Policy
		attempt int
		random  float64
		want    time.Duration
	}{
		"the base":                         {half, 0, 0, 100 * time.Millisecond},
		"a negative attempt":               {half, -3, 0, 100 * time.Millisecond},
		"doubled":                          {half, 1, 0, 200 * time.Millisecond},
		"with jitter":                      {half, 5, 0.5, 4 * time.Second},
		"jitter beyond the maximum":        {half, 8, 0.9, 30 * time.Second},
		"the maximum":                      {half, 9, 0, 30 * time.Second},
		"no jitter at the maximum":         {half, 9, 0.9, 30 * time.Second},
		"below the plateau":                {flat, 3, 0.5, 600 * time.Millisecond},
		"at the plateau":                   {flat, 6, 0, 2500 * time.Millisecond},
		"jitter at the plateau":            {flat, 60, 0.5, 3750 * time.Millisecond},
		"no jitter wanted":                 {backoff.Policy{Base: time.Second, Max: time.Minute}, 3, 0.99, 8 * time.Second},
		"a base above the maximum":         {backoff.Policy{Base: time.Minute, Max: time.Second}, 0, 0, time.Second},
		"a plateau above the maximum":      {backoff.Policy{Base: time.Second, Max: 4 * time.Second, Plateau: time.Hour}, 9, 0, 4 * time.Second},
		"an attempt that would overflow":   {half, 40, 0.9, 30 * time.Second},
		"the last attempt that shifts":     {half, 62, 0.9, 30 * time.Second},
		"an attempt of more than 64 bits":  {half, math.MaxInt, 0.9, 30 * time.Second},
		"a base of one nanosecond":         {backoff.Policy{Base: 1, Max: time.Second}, 20, 0, 1 << 20},
		"a maximum of all time":            {backoff.Policy{Base: time.Second, Max: math.MaxInt64, Jitter: 10}, 1000, 0.9, math.MaxInt64},
		"jitter that would overflow":       {backoff.Policy{Base: math.MaxInt64 / 2, Max: math.MaxInt64, Jitter: 10}, 0, 0.9, math.MaxInt64},
		"a policy that waits for no time":  {backoff.Policy{}, 5, 0.9, 0},
		"a base that the bound splits off": {backoff.Policy{Base: 3, Max: 10}, 2, 0, 10},
	} {
		if got := c.policy.WaitAt(c.attempt, c.random); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestWaitsAreBoundedAndGrow draws policies.
func TestWaitsAreBoundedAndGrow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "ns")) })
		p := backoff.Policy{Base: duration.Draw(t, "base"), Jitter: rapid.Float64Range(0, 100).Draw(t, "jitter")}
		p.Max = max(p.Base, duration.Draw(t, "max"))
		if rapid.Bool().Draw(t, "bounded") {
			p.Plateau = max(p.Base, duration.Draw(t, "plateau"))
		}
		attempt, random := rapid.IntRange(0, 1<<20).Draw(t, "attempt"), rapid.Float64Range(0, 0.999).Draw(t, "random")
		wait := p.WaitAt(attempt, random)
		if wait < p.Base || wait > p.Max {
			t.Fatalf("%+v waits %d at attempt %d", p, wait, attempt)
		}
		if next := p.WaitAt(attempt+1, random); next < wait {
			t.Fatalf("%+v waits %d and then %d", p, wait, next)
		}
	})
}

func TestWaitIsRandom(t *testing.T) {
	t.Parallel()
	p := backoff.Policy{Base: time.Second, Max: time.Hour, Jitter: 1}
	seen := map[time.Duration]bool{}
	for range 100 {
		wait := p.Wait(1)
		if wait < 2*time.Second || wait >= 4*time.Second {
			t.Fatalf("%s is outside of base and jitter", wait)
		}
		seen[wait] = true
	}
	if len(seen) < 2 {
		t.Error("every wait is the same")
	}
}
