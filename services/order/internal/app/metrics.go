package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/order/internal/order"
)

// metrics count inside transactions, just before they commit: one that is rolled
// back and repeated counts twice. They are for watching, the store is for counting.
type metrics struct {
	orders    *prometheus.CounterVec
	decisions *prometheus.CounterVec
	saga      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_orders_total",
			Help: "Orders that came to a status, by status and, when cancelled, by reason.",
		}, []string{"status", "reason"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_order_decisions_total",
			Help: "What orders made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "outcome"}),
		saga: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "eventshop_order_saga_seconds",
			Help: "From an order's acceptance to CONFIRMED.",
			// Around the goals of 40 ms (median) and 150 ms (99th percentile), then up to
			// the default deadline.
			Buckets: []float64{.01, .02, .03, .04, .06, .08, .1, .15, .25, .5, 1, 2.5, 5, 15, 60, 300},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.orders, m.decisions, m.saga)
	}
	return m
}

func (m metrics) decided(k order.Kind, o order.Outcome) {
	m.decisions.WithLabelValues(string(k), string(o)).Inc()
}

func (m metrics) moved(before, after order.Order, at time.Time) {
	if before.Status == after.Status {
		return
	}
	reason := ""
	if after.Cancelled != nil {
		reason = after.Cancelled.Reason
	}
	m.orders.WithLabelValues(string(after.Status), reason).Inc()
	if after.Status == order.Confirmed {
		m.saga.Observe(at.Sub(after.PlacedAt).Seconds())
	}
}
