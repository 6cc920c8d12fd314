package retry

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/postgres"
)

// measureEvery is the maximum age of the gauges.
const measureEvery = 5 * time.Second

// Metrics are the gauges of one group's failed records. They describe the group, not one process:
// replicas report the same numbers, so alerts take the maximum.
type Metrics struct {
	store   *Store
	topics  map[string]bool // topics that have series
	letters *prometheus.GaugeVec
	oldest  *prometheus.GaugeVec
	keys    *prometheus.GaugeVec
	records prometheus.Gauge
	overdue prometheus.Gauge
	errors  prometheus.Counter
}

// NewMetrics registers the gauges of a group; reg may be nil. They are 0 until the first
// measurement.
func NewMetrics(reg prometheus.Registerer, group string) *Metrics {
	labels := prometheus.Labels{"group": group}
	m := &Metrics{
		store:  New(group, nil),
		topics: map[string]bool{},
		letters: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dead_letters", ConstLabels: labels,
			Help: "Dead letters that are not closed, as of the last measurement.",
		}, []string{"topic", "status"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dead_letter_oldest_seconds", ConstLabels: labels,
			Help: "Age of the oldest open dead letter, as of the last measurement; 0 without one.",
		}, []string{"topic"}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parked_keys", ConstLabels: labels,
			Help: "Keys that wait: for another attempt (retrying), or for a person's decision (dead).",
		}, []string{"state"}),
		records: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parked_records", ConstLabels: labels,
			Help: "Records that wait behind the head of their key.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "retries_overdue", ConstLabels: labels,
			Help: "Retries whose next attempt is more than 10 minutes late.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "retry_measure_errors_total", ConstLabels: labels,
			Help: "Measurements of these gauges that failed; they keep their last values.",
		}),
	}
	m.keys.WithLabelValues("retrying")
	m.keys.WithLabelValues("dead")
	if reg != nil {
		reg.MustRegister(m.letters, m.oldest, m.keys, m.records, m.overdue, m.errors)
	}
	return m
}

// Measure sets the gauges to the counts in the database. It is not safe for concurrent use.
func (m *Metrics) Measure(ctx context.Context, q postgres.Querier) error {
	topics, err := m.store.byTopic(ctx, q)
	if err != nil {
		return err
	}
	parked, err := m.store.parked(ctx, q)
	if err != nil {
		return err
	}
	gone := m.topics
	m.topics = map[string]bool{}
	for _, t := range topics {
		var age time.Duration
		if !t.Oldest.IsZero() {
			age = max(0, time.Since(t.Oldest)) // clocks of database and process differ
		}
		m.set(t.Topic, t.Open, t.Resubmitted, age)
		delete(gone, t.Topic)
	}
	for topic := range gone { // an alert ends at a 0, not at a series that is missing
		m.set(topic, 0, 0, 0)
	}
	m.keys.WithLabelValues("retrying").Set(float64(parked.Retrying))
	m.keys.WithLabelValues("dead").Set(float64(parked.Dead))
	m.records.Set(float64(parked.Records))
	m.overdue.Set(float64(parked.Overdue))
	return nil
}

func (m *Metrics) set(topic string, open, resubmitted int64, oldest time.Duration) {
	m.topics[topic] = true
	m.letters.WithLabelValues(topic, string(StatusOpen)).Set(float64(open))
	m.letters.WithLabelValues(topic, string(StatusResubmitted)).Set(float64(resubmitted))
	m.oldest.WithLabelValues(topic).Set(oldest.Seconds())
}

// Run measures every 5 seconds until ctx ends. A measurement that fails is counted and repeated
// after 5 seconds.
func (m *Metrics) Run(ctx context.Context, pool *pgxpool.Pool) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, measureEvery)
		err := m.Measure(bounded, pool)
		cancel()
		if err != nil && ctx.Err() == nil {
			m.errors.Inc()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
