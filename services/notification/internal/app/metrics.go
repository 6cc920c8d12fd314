package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/services/notification/notification"
)

// metrics are counted after the commit. Use them for monitoring and the tables for exact counts.
type metrics struct {
	decisions        *prometheus.CounterVec
	callbacks        prometheus.Counter
	toSend, awaiting prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mail_decisions_total",
			Help: "What mails made of inputs: apply, wait, ignore (an event of the other style, or of an old order), duplicate, refuse.",
		}, []string{"input", "action"}),
		callbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mail_callbacks_total",
			Help: "Calls to the order service because of a notification, refused ones included.",
		}),
		toSend: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mails_to_send",
			Help: "Mails that the mailbox has not confirmed.",
		}),
		awaiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mails_awaiting_event",
			Help: "Orders whose first event was left out and whose second one has not come.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.callbacks, m.toSend, m.awaiting)
	}
	return m
}

func (m metrics) decided(in notification.Input, a notification.Action) {
	m.decisions.WithLabelValues(string(in), string(a)).Inc()
}
