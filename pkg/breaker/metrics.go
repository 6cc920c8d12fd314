package breaker

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	state       prometheus.Gauge
	transitions *prometheus.CounterVec

	success, fault, refused, excluded prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, name string) metrics {
	labels := prometheus.Labels{"name": name}
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breaker_calls_total", ConstLabels: labels,
		Help: "Calls by result: success (answers of every kind), fault, refused (not made), excluded (the caller left).",
	}, []string{"result"})
	m := metrics{
		state: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "breaker_state", ConstLabels: labels,
			Help: "State of the circuit breaker: 0 closed, 1 half-open, 2 open. An open one stays 2 until a call comes to probe.",
		}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breaker_transitions_total", ConstLabels: labels,
			Help: "Changes of state, by the new one.",
		}, []string{"to"}),
		success:  calls.WithLabelValues("success"),
		fault:    calls.WithLabelValues("fault"),
		refused:  calls.WithLabelValues("refused"),
		excluded: calls.WithLabelValues("excluded"),
	}
	for _, s := range states {
		m.transitions.WithLabelValues(string(s)) // created at the start, so that the first increase shows
	}
	if reg != nil {
		reg.MustRegister(m.state, m.transitions, calls)
	}
	return m
}

func (m metrics) moved(to State) {
	m.transitions.WithLabelValues(string(to)).Inc()
	m.state.Set(map[State]float64{Closed: 0, HalfOpen: 1, Open: 2}[to])
}
