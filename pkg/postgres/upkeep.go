package postgres

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

// Upkeep is one table's periodic maintenance.
type Upkeep struct {
	Table string // for logs and metrics
	// Prepare creates what the coming writes need, such as the partitions of the next days. It runs
	// before the first write. nil: nothing.
	Prepare func(ctx context.Context) error
	// Prune removes what has been kept for long enough. It returns the names of the partitions it
	// dropped, even together with an error. nil: nothing.
	Prune func(ctx context.Context) (dropped []string, err error)
}

// Retention is how long a service keeps the rows it has published and the receipts of the messages
// it has received. Whole days are dropped, so that either may stay a day longer.
type Retention struct {
	Outbox time.Duration // published rows: to examine what happened and to publish again
	Inbox  time.Duration // receipts: to recognise a repeated message
}

// The defaults of Retention. A receipt outlives the 30 days of a dead letter, and the offsets of a
// group without members, which Kafka keeps for a week.
const (
	KeepOutbox = 7 * 24 * time.Hour
	KeepInbox  = 31 * 24 * time.Hour
)

// shortestInbox covers a night and a morning: an operator may resubmit in the morning what failed
// in the evening, and it must not take effect twice.
const shortestInbox = 24 * time.Hour

// Check returns errs.Invalid, with the name of the environment variable, for an inbox that forgets
// too soon: within a day, or before the outbox's retention and the rest of that day, during which
// the outbox may still publish again.
func (r Retention) Check() error {
	if r.Outbox <= 0 {
		return errs.New(errs.Invalid, "environment variable OUTBOX_KEEP must be positive, not %s", r.Outbox)
	}
	if least := max(shortestInbox, r.Outbox+24*time.Hour); r.Inbox < least {
		return errs.New(errs.Invalid, "environment variable INBOX_KEEP must be at least %s, a day and a day more than OUTBOX_KEEP (%s), not %s", least, r.Outbox, r.Inbox)
	}
	return nil
}

type upkeepMetrics struct {
	dropped  *prometheus.CounterVec
	success  *prometheus.GaugeVec
	failures *prometheus.CounterVec
}

func newUpkeepMetrics(reg prometheus.Registerer, upkeep []Upkeep) *upkeepMetrics {
	m := &upkeepMetrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "partitions_dropped_total",
			Help: "Day partitions dropped by this process because they were kept for long enough.",
		}, []string{"table"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "upkeep_last_success_timestamp_seconds",
			Help: "When this process last looked after the table without an error, in Unix time; 0 for never. Hourly when all is well.",
		}, []string{"table"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upkeep_failures_total",
			Help: "Failed turns of the table's upkeep, each tried again after a minute.",
		}, []string{"table"}),
	}
	for _, u := range upkeep { // so that an alert finds a zero instead of no series
		m.dropped.WithLabelValues(u.Table)
		m.success.WithLabelValues(u.Table)
		m.failures.WithLabelValues(u.Table)
	}
	if reg != nil {
		reg.MustRegister(m.dropped, m.success, m.failures)
	}
	return m
}
