package consumer

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	records  *prometheus.CounterVec
	failures *prometheus.CounterVec
	replaced *prometheus.CounterVec
	batch    prometheus.Histogram
	seconds  prometheus.Histogram
	lag      *prometheus.GaugeVec
	paused   prometheus.Gauge
	waiting  prometheus.Gauge
	commits  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, group string) *metrics {
	labels := prometheus.Labels{"group": group}
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consumer_records_total", ConstLabels: labels,
			Help: "Records whose offset moved on, by what became of them.",
		}, []string{"topic", "type", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consumer_failures_total", ConstLabels: labels,
			Help: "Tries of a record that failed and will be repeated, by error kind.",
		}, []string{"topic", "type", "kind"}),
		replaced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consumer_metadata_replaced_total", ConstLabels: labels,
			Help: "Headers that only advise (tracing, correlation, time) and were wrong, doubled or too long; the event was handled without them.",
		}, []string{"topic", "header"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "consumer_batch_records", ConstLabels: labels,
			Help:    "Records committed by one transaction.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "consumer_batch_seconds", ConstLabels: labels,
			Help:    "Time from a batch being cut to its commit, calls included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "consumer_lag_records", ConstLabels: labels,
			Help: "Records between the last one handled and the end of the partition as of the last fetch.",
		}, []string{"topic", "partition"}),
		paused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "consumer_paused_partitions", ConstLabels: labels,
			Help: "Partitions waiting to try their first record again.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "consumer_waiting_retries", ConstLabels: labels,
			Help: "Retry records that are due and wait for something of ours that is down.",
		}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consumer_offset_commits_refused_total", ConstLabels: labels,
			Help: "Commits of offsets that the broker refused or did not answer, by the consumer group they were for.",
		}, []string{"committing"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.failures, m.replaced, m.batch, m.seconds, m.lag, m.paused, m.waiting, m.commits)
	}
	return m
}
