package capture

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	debezium prometheus.Gauge
	slot     *prometheus.GaugeVec
}

// newMetrics registers the gauges; with a nil reg they are kept but not exposed.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		debezium: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_debezium",
			Help: "1 while Debezium relays the events, 0 while the polling relay does.",
		}),
		slot: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "outbox_slot",
			Help: "The replication slot, in mode debezium: active and lost are 0 or 1; lag_bytes of the log are not confirmed yet, retained_bytes are kept for it, safe_bytes can be written until it is lost.",
		}, []string{"what"}),
	}
	if reg != nil {
		reg.MustRegister(m.debezium, m.slot)
	}
	return m
}

// set updates the gauges for the mode and the slot. It sets no gauge for a value that the server
// does not report.
func (m *metrics) set(now RelayMode) {
	m.slot.Reset()
	m.debezium.Set(0)
	if now.Mode != Debezium {
		return
	}
	m.debezium.Set(1)
	m.slot.WithLabelValues("lost").Set(oneIf(now.Lost != ""))
	m.slot.WithLabelValues("active").Set(oneIf(now.State != nil && now.State.Active))
	if s := now.State; s != nil {
		m.slot.WithLabelValues("lag_bytes").Set(float64(s.LagBytes))
		m.slot.WithLabelValues("retained_bytes").Set(float64(s.Retained))
		if s.SafeBytes != nil {
			m.slot.WithLabelValues("safe_bytes").Set(float64(*s.SafeBytes))
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
