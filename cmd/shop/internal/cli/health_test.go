package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	order, payment, second := opstest.Start(t, "order"), opstest.Start(t, "payment"), opstest.Start(t, "payment")
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	payment.Add(50, "k")
	payment.Add(51, "l")
	payment.Parked = []operators.ParkedKey{{State: operators.Dead}, {State: operators.Retrying}, {State: operators.Dead}}
	payment.Breakers = []operators.Breaker{{Name: "gateway", State: "closed"}}
	second.Breakers = []operators.Breaker{{Name: "gateway", State: "open", RetryAfterMs: 4200}}
	f := operators.NewFleet(map[string]string{
		"order": order.URL, "payment": payment.URL, "payment-2": second.URL, "shipping": "http://127.0.0.1:1",
	}, "")
	var out bytes.Buffer
	if err := printHealth(t.Context(), &out, f, now); err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(l), " "))
	}
	want := []string{
		"",
		"SERVICE DEAD-LETTERS PARKED-KEYS BREAKERS",
		"order - - -",
		"payment 2 open, oldest 10m00s 2 dead, 1 retrying payment: gateway closed; payment-2: gateway",
		"open, probe in 4s",
		"shipping ? ? ?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
