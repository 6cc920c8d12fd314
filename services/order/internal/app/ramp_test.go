package app

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/order"
)

// TestRamp: at each percentage about that share of the customers is orchestrated, and a higher percentage
// only adds customers.
func TestRamp(t *testing.T) {
	t.Parallel()
	const customers = 20_000
	var before map[string]bool
	for percent := 0; percent <= 100; percent += 10 {
		ramp, chosen := SagaStyle{OrchestratedPercent: percent, Ready: true}, map[string]bool{}
		for i := range customers {
			id := fmt.Sprintf("cust-%d", i)
			style, err := ramp.choose(id, "")
			if err != nil {
				t.Fatal(err)
			}
			chosen[id] = style == order.Orchestrated
			if before[id] && !chosen[id] {
				t.Fatalf("%s is orchestrated at %d %% and not at %d %%", id, percent-10, percent)
			}
			if !chosen[id] && style != order.Choreographed {
				t.Fatalf("%s: style %q", id, style)
			}
		}
		n := 0
		for _, orchestrated := range chosen {
			if orchestrated {
				n++
			}
		}
		if got := float64(n) / customers * 100; got < float64(percent)-1.5 || got > float64(percent)+1.5 || percent%100 == 0 && got != float64(percent) {
			t.Errorf("at %d %%, %.1f %% of the customers are orchestrated", percent, got)
		}
		before = chosen
	}
	// The place of a customer is part of the contract between processes and releases.
	for id, want := range map[string]int{"cust-7": 61, "ada": 98, "": 52} {
		if got := rampPlace(id); got != want {
			t.Errorf("%q has place %d, want %d", id, got, want)
		}
	}
}

func TestChoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ramp   SagaStyle
		asked  order.Style
		want   order.Style
		reason string
	}{
		{SagaStyle{100, time.Time{}, true, ""}, "", order.Orchestrated, ""},
		{SagaStyle{100, time.Time{}, true, ""}, order.Choreographed, order.Choreographed, ""},
		{SagaStyle{0, time.Time{}, true, ""}, order.Orchestrated, order.Orchestrated, ""},
		{SagaStyle{0, time.Time{}, true, ""}, "", order.Choreographed, ""},
		{SagaStyle{100, time.Time{}, false, "why"}, "", order.Choreographed, ""},
		{SagaStyle{100, time.Time{}, false, "why"}, order.Choreographed, order.Choreographed, ""},
		{SagaStyle{100, time.Time{}, false, "why"}, order.Orchestrated, "", "why"},
	} {
		got, err := c.ramp.choose("cust-7", c.asked)
		reason := ""
		if closed, ok := errors.AsType[*NotReadyError](err); ok {
			reason = closed.Reason
		}
		if got != c.want || reason != c.reason || err != nil && errs.KindOf(err) != errs.Conflict {
			t.Errorf("%+v, asked for %q: %q, %v; want %q and %q", c.ramp, c.asked, got, err, c.want, c.reason)
		}
	}
}
