package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/shipping/shipping"
)

// metrics are counted after the commit. Use them for monitoring and the tables for exact counts.
type metrics struct {
	decisions    *prometheus.CounterVec
	feedUpdates  prometheus.Counter
	feedFailures prometheus.Counter
	feedSkipped  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shipment_decisions_total",
			Help: "What shipments made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "action"}),
		feedUpdates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tracking_updates_total",
			Help: "Updates of the carrier's tracking feed that were applied.",
		}),
		feedFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tracking_failures_total",
			Help: "Rounds in which the tracking feed could not be read or applied; each is tried again.",
		}),
		feedSkipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tracking_skipped_total",
			Help: "Lines of the tracking feed without effect: foreign (no key of ours), status (none that matters here), failed (cannot be applied; see the log).",
		}, []string{"why"}),
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.feedUpdates, m.feedFailures, m.feedSkipped)
	}
	return m
}

func (m metrics) decided(in shipping.Input, a shipping.Action) {
	m.decisions.WithLabelValues(string(in), string(a)).Inc()
}
