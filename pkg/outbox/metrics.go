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
			Help: "Failures that will be tried again, by operation: read, produce, mark, lease, measure.",
		}, []string{"operation"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "eventshop_outbox_publish_seconds",
			Help:    "Time from a row being written to the broker's acknowledgement. Clocks of database and relay differ.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18), // 1 ms to 2 min
		}),
	}
	if reg != nil {
		reg.MustRegister(m.unpublished, m.oldest, m.inFlight, m.held, m.leased, m.onHold, m.published, m.errors, m.seconds)
	}
	return m
}

// measureEvery is the age that gauges may have. Counting a backlog of a million
// rows takes the database some 100 ms.
const measureEvery = 5 * time.Second

func (r *Relay) measureLoop(ctx context.Context) {
	for ctx.Err() == nil {
		rows, age, err := backlog(ctx, r.pool)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			r.metrics.unpublished.Set(float64(rows))
			r.metrics.oldest.Set(age.Seconds())
		} else {
			r.metrics.errors.WithLabelValues("measure").Inc() // the read fails too, and says so
		}
		inFlight, _, _, _ := r.flight.counts()
		r.metrics.inFlight.Set(float64(inFlight))
		r.metrics.held.Set(float64(r.flight.heldCount()))
		sleep(ctx, measureEvery)
	}
}
