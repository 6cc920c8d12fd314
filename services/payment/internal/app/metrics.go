package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// metrics are counted after the commit. Use them for monitoring and the tables for exact counts.
type metrics struct {
	decisions *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	returning prometheus.Gauge
	attention prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "payment_decisions_total",
			Help: "What payments made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "action"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_call_seconds",
			Help: "Operations at the card gateway, by outcome; transient means that the outcome is unknown, refused that the circuit breaker let none through.",
			// From an idle gateway on the same network to three timeouts of 2 s: one for the
			// request, one for the lookup by key, and one for the void that closes a refused
			// charge's key.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 6},
		}, []string{"operation", "outcome"}),
		returning: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "payments_returning",
			Help: "Payments whose charge has to be stopped or whose money has to go back.",
		}),
		attention: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "payments_needing_attention",
			Help: "Payments a person has to look at.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.calls, m.returning, m.attention)
	}
	return m
}

func (m metrics) decided(in payment.Input, a payment.Action) {
	m.decisions.WithLabelValues(string(in), string(a)).Inc()
}

// observe calls the gateway and measures the call.
func observe(a *App, operation string, call func() (gateway.Answer, error)) (gateway.Answer, error) {
	started := time.Now()
	answer, err := call()
	outcome := string(answer.Outcome)
	switch {
	case gateway.IsRefused(err):
		outcome = "refused"
	case err != nil:
		outcome = errs.KindOf(err).String()
	}
	a.metrics.calls.WithLabelValues(operation, outcome).Observe(time.Since(started).Seconds())
	return answer, err
}
