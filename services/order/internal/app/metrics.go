package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/order/order"
)

// metrics are counted after the commit. A process that dies in between has not counted. Use the
// metrics for monitoring and the store for exact counts.
type metrics struct {
	orders    *prometheus.CounterVec
	decisions *prometheus.CounterVec
	saga      prometheus.Histogram
	refused   prometheus.Counter
	accepted  *prometheus.CounterVec
	gate      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orders_total",
			Help: "Orders that came to a status, by status and, when cancelled, by reason.",
		}, []string{"status", "reason"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "order_decisions_total",
			Help: "What orders made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "outcome"}),
		saga: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "order_saga_seconds",
			Help: "From an order's acceptance to CONFIRMED.",
			// Fine steps around the goals of 40 ms (median) and 150 ms (99th percentile), then
			// coarse ones up to the default deadline.
			Buckets: []float64{.01, .02, .03, .04, .06, .08, .1, .15, .25, .5, 1, 2.5, 5, 15, 60, 300},
		}),
	}
	m.refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "orders_refused_total",
		Help: "Orders that were not accepted, because too many are PENDING.",
	})
	m.accepted = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "orders_accepted_total",
		Help: "Orders that this process accepted, by the style of their saga.",
	}, []string{"saga"})
	m.gate = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "orchestration_ready",
		Help: "1 when every participant knows both styles of the saga, so that orders can be orchestrated; otherwise 0.",
	})
	if reg != nil {
		reg.MustRegister(m.orders, m.decisions, m.saga, m.refused, m.accepted, m.gate)
	}
	return m
}

func (m metrics) decided(in order.Input, a order.Action) {
	m.decisions.WithLabelValues(string(in), string(a)).Inc()
}

func (m metrics) moved(before, after order.Order, at time.Time) {
	if before.State == after.State {
		return
	}
	reason := ""
	if after.Cancelled != nil {
		reason = after.Cancelled.Reason
	}
	m.orders.WithLabelValues(string(after.State), reason).Inc()
	if after.State == order.Confirmed {
		m.saga.Observe(at.Sub(after.PlacedAt).Seconds())
	}
}
