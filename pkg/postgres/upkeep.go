package postgres

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

// Upkeep is what one table needs from time to time.
type Upkeep struct {
	Table string // for people and metrics
	// Prepare makes what the coming writes need, such as the partitions of the next days.
	// It is done before the first write. nil: nothing.
	Prepare func(ctx context.Context) error
	// Prune removes what has been kept for long enough and returns the names of the
	// partitions it dropped, also beside an error. nil: nothing.
	Prune func(ctx context.Context) (dropped []string, err error)
}

// Retention is how long a service keeps what it has published and what it has received.
// Whole days are dropped, so that either may stay a day longer.
type Retention struct {
	Outbox time.Duration // published rows: for looking at what happened and publishing again
	Inbox  time.Duration // receipts: for telling a message that comes again
}

// The defaults of Retention. A receipt outlives a dead letter's 30 days and a group's
// offsets without a member, which Kafka keeps for a week.
const (
	KeepOutbox = 7 * 24 * time.Hour
	KeepInbox  = 31 * 24 * time.Hour
)

// shortestInbox is a night and a morning: what failed in the evening is resubmitted by
// somebody the next day and must not have its effect twice.
const shortestInbox = 24 * time.Hour

// Check returns errs.Invalid, naming the environment variable, for an inbox that forgets
// too soon: within a day, or before what an outbox may still publish again, which is what
// it keeps and the rest of that day.
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
			Name: "eventshop_partitions_dropped_total",
			Help: "Day partitions dropped by this process because they were kept for long enough.",
		}, []string{"table"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eventshop_upkeep_last_success_timestamp_seconds",
			Help: "When this process last looked after the table without an error, in Unix time; 0 for never. Hourly when all is well.",
		}, []string{"table"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventshop_upkeep_failures_total",
			Help: "Failed turns of the table's upkeep, each tried again after a minute.",
		}, []string{"table"}),
	}
	for _, u := range upkeep { // so that an alert finds a zero and not nothing
		m.dropped.WithLabelValues(u.Table)
		m.success.WithLabelValues(u.Table)
		m.failures.WithLabelValues(u.Table)
	}
	if reg != nil {
		reg.MustRegister(m.dropped, m.success, m.failures)
	}
	return m
}
