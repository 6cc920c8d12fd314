package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/orchestrator/orchestrator"
)

// metrics are counted after the commit. Use them for monitoring and the log for exact counts.
type metrics struct {
	decisions *prometheus.CounterVec
	attention prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saga_decisions_total",
			Help: "What orchestrated sagas made of inputs: apply, duplicate, compensate, wait, refuse.",
		}, []string{"input", "action"}),
		attention: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sagas_needing_attention",
			Help: "Orchestrated sagas a person has to look at.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.attention)
	}
	return m
}

func (m metrics) decided(in orchestrator.Input, a orchestrator.Action) {
	m.decisions.WithLabelValues(string(in), string(a)).Inc()
}
