package outbox

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	unpublished prometheus.Gauge
	oldest      prometheus.Gauge
	inFlight    prometheus.Gauge
	held        prometheus.Gauge
	leased      prometheus.Gauge
	onHold      prometheus.Gauge
	published   *prometheus.CounterVec
	errors      *prometheus.CounterVec
	seconds     prometheus.Histogram

	unacknowledged prometheus.Gauge
	refused        *prometheus.GaugeVec
	refusals       *prometheus.CounterVec

	debezium prometheus.Gauge
	slot     *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		unpublished: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_unpublished_rows",
			Help: "Rows not yet marked as published, as of the last measurement.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_oldest_unpublished_seconds",
			Help: "Age of the oldest unpublished row, as of the last measurement.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_in_flight_rows",
			Help: "Rows in the relay's memory, from the read to the mark.",
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_held_keys",
			Help: "Keys and topics held back because the broker refused a record of theirs.",
		}),
		leased: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_leased_shards",
			Help: "Shards that this relay leads.",
		}),
		onHold: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eventshop_outbox_on_hold",
			Help: "1 while operators or a republishing let no relay of the table publish, else 0.",
		}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_outbox_published_total",
			Help: "Records acknowledged by the broker, repetitions included.",
		}, []string{"topic"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_outbox_errors_total",
			Help: "Failures that will be tried again, by operation: read, produce, mark, lease, measure, confirm.",
		}, []string{"operation"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "eventshop_outbox_publish_seconds",
			Help:    "Time from a row being written to the broker's acknowledgement. Clocks of database and relay differ.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 2 min
		}),
	}
	m.unacknowledged = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "eventshop_outbox_unacknowledged_seconds",
		Help: "How long the broker has not acknowledged the oldest record at the producer, as of the last measurement.",
	})
	m.refused = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "eventshop_outbox_refused_seconds",
		Help: "How long a topic has taken no record and refused all, as of the last measurement. Topics that take records are not shown.",
	}, []string{"topic"})
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eventshop_outbox_refusals_total",
		Help: "Records that the broker refused, each try counted, by Kafka's error code, or client.",
	}, []string{"topic", "reason"})
	m.debezium = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "eventshop_outbox_debezium",
		Help: "1 while Debezium relays the events, 0 while the polling relay does.",
	})
	m.slot = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "eventshop_outbox_slot",
		Help: "The replication slot, in mode debezium: active and lost are 0 or 1; lag_bytes of the log are not confirmed yet, retained_bytes are kept for it, safe_bytes can be written until it is lost.",
	}, []string{"what"})
	if reg != nil {
		reg.MustRegister(m.debezium, m.slot, m.unpublished, m.oldest, m.inFlight, m.held, m.leased, m.onHold, m.published, m.errors, m.seconds,
			m.unacknowledged, m.refused, m.refusals)
	}
	return m
}

// capture shows the mode and the slot. What the server does not tell is not shown.
func (m *metrics) capture(now RelayMode) {
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

// measureEvery is the default age that gauges may have. Counting a backlog of a million
// rows takes the database some 100 ms.
const measureEvery = 5 * time.Second

func (r *Relay) measureLoop(ctx context.Context) {
	for ctx.Err() == nil {
		r.measure(ctx)
		sleep(ctx, r.measureEvery)
	}
}

func (r *Relay) measure(ctx context.Context) {
	waiting, age, err := backlog(ctx, r.pool)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		r.metrics.errors.WithLabelValues("measure").Inc() // the read fails too, and says so
	default:
		var rows int64
		for _, n := range waiting {
			rows += n
		}
		r.metrics.unpublished.Set(float64(rows))
		r.metrics.oldest.Set(age.Seconds())
		r.mu.Lock()
		r.waiting = waiting
		r.mu.Unlock()
	}
	now := r.clock()
	inFlight, _, _, oldest := r.flight.counts()
	r.metrics.inFlight.Set(float64(inFlight))
	r.metrics.held.Set(float64(r.flight.heldCount()))
	unacknowledged := time.Duration(0)
	if oldest != nil {
		unacknowledged = now.Sub(oldest.sentAt)
	}
	r.metrics.unacknowledged.Set(unacknowledged.Seconds())
	r.answers.curious.Store(unacknowledged > r.slow/2)
	r.metrics.refused.Reset()
	for _, one := range r.flight.refusals(now) {
		r.metrics.refused.WithLabelValues(one.topic).Set(now.Sub(one.since).Seconds())
	}
}
