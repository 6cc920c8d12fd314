package schema

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	failures     prometheus.Counter
	denied       prometheus.Counter
	unregistered prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schema_lookup_failures_total",
			Help: "Lookups of a schema id that the registry did not answer, or not as a registry does.",
		}),
		denied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schema_unknown_ids_total",
			Help: "Schema ids given up because the registry did not know them for the grace period.",
		}),
		unregistered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schema_registration_failures_total",
			Help: "Tries to register an event type's schema that failed.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.failures, m.denied, m.unregistered)
	}
	return m
}

// watch exports gauges of the codec's waiting ids and types.
func (*metrics) watch(reg prometheus.Registerer, c *Codec) {
	if reg == nil {
		return
	}
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "schema_lookups_waiting",
			Help: "Schema ids that records wait for.",
		}, func() float64 { return float64(c.lookups.waits()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "schema_unregistered_types",
			Help: "Event types whose schema is not registered, so that none can be published.",
		}, func() float64 {
			c.mu.RLock()
			defer c.mu.RUnlock()
			return float64(len(c.problems))
		}),
	)
}

// isDown reports whether the registry is at fault for an error.
func isDown(err error) bool {
	w, ok := errors.AsType[*Waiting](err)
	return ok && w.down
}
