package projection

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events   *prometheus.CounterVec
	lag      *prometheus.GaugeVec
	failures *prometheus.GaugeVec
	live     *prometheus.GaugeVec
	refusals *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	labels := []string{"projection", "version"}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "projection_events_total",
			Help: "Events folded into a version, in transactions that were rolled back as well.",
		}, labels),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projection_lag_records",
			Help: "Records that the reader has handled and a version does not contain yet.",
		}, labels),
		failures: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projection_failures",
			Help: "Records that a version has passed and does not contain; they keep it from going live.",
		}, labels),
		live: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projection_live",
			Help: "1 for the version that queries read.",
		}, labels),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "projection_refusals_total",
			Help: "Transactions that the reader repeated without a version that is not live, because writing into it failed.",
		}, labels),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.lag, m.failures, m.live, m.refusals)
	}
	return m
}

func (m *metrics) applied(v id, n int) {
	m.events.WithLabelValues(v.projection, strconv.Itoa(v.number)).Add(float64(n))
}

func (m *metrics) refused(v id) {
	m.refusals.WithLabelValues(v.projection, strconv.Itoa(v.number)).Inc()
}

// seen stores what a filler has read about its version.
func (m *metrics) seen(s Status) {
	of := []string{s.Projection, strconv.Itoa(s.Version)}
	live := 0.0
	if s.State == Live {
		live = 1
	}
	m.live.WithLabelValues(of...).Set(live)
	m.failures.WithLabelValues(of...).Set(float64(s.Failures))
	if s.State == Waiting || s.State == Dropped {
		m.lag.DeleteLabelValues(of...)
		return
	}
	m.lag.WithLabelValues(of...).Set(float64(max(s.Total-s.Done, 0)))
}
