package relay

import (
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
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		unpublished: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_unpublished_rows",
			Help: "Rows that wait to be published, as of the last measurement. An estimate when they are thousands.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_oldest_unpublished_seconds",
			Help: "Age of the oldest unpublished row, as of the last measurement.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_in_flight_rows",
			Help: "Rows in the relay's memory, from the read to the mark.",
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_held_keys",
			Help: "Keys and topics held back because the broker refused a record of theirs.",
		}),
		leased: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_leased_shards",
			Help: "Shards that this relay leads.",
		}),
		onHold: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "outbox_on_hold",
			Help: "1 while operators or a republishing let no relay of the table publish, else 0.",
		}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_published_total",
			Help: "Records acknowledged by the broker, repetitions included.",
		}, []string{"topic"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_errors_total",
			Help: "Failures that will be tried again, by operation: read, produce, mark, lease, bound, measure, confirm.",
		}, []string{"operation"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "outbox_publish_seconds",
			Help:    "Time from a row being written to the broker's acknowledgement. Clocks of database and relay differ.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 2 min
		}),
	}
	m.unacknowledged = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "outbox_unacknowledged_seconds",
		Help: "How long the broker has not acknowledged the oldest record at the producer, as of the last measurement.",
	})
	m.refused = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "outbox_refused_seconds",
		Help: "How long a topic has taken no record and refused all, as of the last measurement. Topics that take records are not shown.",
	}, []string{"topic"})
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "outbox_refusals_total",
		Help: "Records that the broker refused, each try counted, by Kafka's error code, or client.",
	}, []string{"topic", "reason"})
	if reg != nil {
		reg.MustRegister(m.unpublished, m.oldest, m.inFlight, m.held, m.leased, m.onHold, m.published, m.errors, m.seconds,
			m.unacknowledged, m.refused, m.refusals)
	}
	return m
}
