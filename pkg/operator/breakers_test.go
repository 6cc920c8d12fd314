package operator_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/operator"
)

func TestBreakers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type breakers struct {
		Breakers []struct {
			Name, State  string
			Failures     int
			Since        time.Time
			RetryAfterMs int64
		}
	}
	if got := as[breakers](f.do("GET", "/breakers", ""), 200); got.Breakers == nil || len(got.Breakers) != 0 {
		t.Errorf("of a service without: %+v", got)
	}
	gateway, carrier := breaker.New(breaker.Config{Name: "gateway", Failures: 1}), breaker.New(breaker.Config{Name: "carrier"})
	if err := gateway.Do(t.Context(), func(context.Context) error { return errs.New(errs.Transient, "down") }); err == nil {
		t.Fatal("no fault")
	}
	cfg := f.config()
	cfg.Registerer, cfg.Breakers = prometheus.NewRegistry(), []*breaker.Breaker{gateway, carrier}
	h, err := operator.Handler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := as[breakers](f.doWith(h, "GET", "/breakers", ""), 200).Breakers
	if len(got) != 2 || got[0].Name != "gateway" || got[0].State != "open" || got[0].Failures != 1 || got[0].RetryAfterMs <= 0 || got[0].Since.IsZero() ||
		got[1].Name != "carrier" || got[1].State != "closed" {
		t.Errorf("%+v", got)
	}
}
