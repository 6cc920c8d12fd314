package postgres

import (
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

// Refusals counts what a database refuses, and remembers that something was, so that the
// readiness check looks closer. A nil one does nothing. It is for one process's pools of one
// database.
type Refusals struct {
	total *prometheus.CounterVec

	mu      sync.Mutex
	suspect bool // a refusal since the last look that may be the environment's
}

// The values of the label reason that are no SQLSTATE.
const (
	reasonUnreachable = "unreachable" // no connection could be made, without a word of the server
	reasonBusy        = "busy"        // no connection was free in time
)

// NewRefusals returns a counter; reg may be nil.
func NewRefusals(reg prometheus.Registerer) *Refusals {
	r := &Refusals{total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eventshop_database_refusals_total",
		Help: "What the database refused this process, by reason: a SQLSTATE, \"unreachable\" for no connection, \"busy\" for none that was free in time. " +
			"blames is \"environment\" for what is surely no record's fault, else \"unclear\".",
	}, []string{"reason", "blames"})}
	for _, reason := range []string{reasonUnreachable, reasonBusy} {
		r.total.WithLabelValues(reason, "environment") // so that an alert finds a zero and not nothing
	}
	if reg != nil {
		reg.MustRegister(r.total)
	}
	return r
}

func (r *Refusals) note(err *pgconn.PgError) {
	if r == nil {
		return
	}
	blames := "unclear"
	if environment(err) {
		blames = "environment"
	}
	r.total.WithLabelValues(err.Code, blames).Inc()
	if passes(err.Code) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspect = true
}

func (r *Refusals) noteUnreachable(err error) {
	if r == nil {
		return
	}
	reason := State(err)
	if reason == "" {
		reason = reasonUnreachable
	}
	r.total.WithLabelValues(reason, "environment").Inc()
}

func (r *Refusals) noteBusy() {
	if r != nil {
		r.total.WithLabelValues(reasonBusy, "environment").Inc()
	}
}

// take reports whether something was refused since the last call.
func (r *Refusals) take() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.suspect
	r.suspect = false
	return was
}

// passes reports whether a state is ordinary among transactions that run side by side, or a
// row's own, so that it is no reason to look at the server.
func passes(state string) bool {
	switch state {
	case "40001", "40P01", "55P03", "57014", "25P02", "25P03", "23505", "23503", "23P01":
		return true
	}
	return errs.KindOf(Classify(&pgconn.PgError{Code: state})) == errs.Invalid && state != "23514" && state != "23502"
}
