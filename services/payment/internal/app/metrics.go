package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/payment"
)

// metrics count inside transactions, just before they commit: one that is rolled back
// and repeated counts twice. They are for watching, the tables are for counting.
type metrics struct {
	decisions *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	returning prometheus.Gauge
	attention prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_payment_decisions_total",
			Help: "What payments made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "action"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eventshop_gateway_call_seconds",
			Help: "Operations at the card gateway, by outcome; transient means that the outcome is unknown, refused that the circuit breaker let none through.",
			// From an idle gateway next door to two timeouts of 2 s, one for the request
			// and one for asking by key, and a third for closing a refused charge's key.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 6},
		}, []string{"operation", "outcome"}),
		returning: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_payments_returning",
			Help: "Payments whose charge has to be stopped or whose money has to go back.",
		}),
		attention: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_payments_needing_attention",
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

// observe makes a call to the gateway and measures it.
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
