package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

// Refusals counts what a database refuses, and remembers refusals, so that the readiness check
// examines them. A nil Refusals does nothing. One process uses one for its pools of one database.
type Refusals struct {
	total *prometheus.CounterVec

	mu      sync.Mutex
	suspect bool // the environment may have caused a refusal since the last check
	// refused are the statements whose text the server did not accept, because a table, a column or
	// a grant is missing. Their values do not matter.
	refused map[string]bool
}

// maxRefused bounds refused: enough for the statements that one missing table affects, and some
// more.
const maxRefused = 50

// The values of the label reason that are no SQLSTATE.
const (
	reasonUnreachable = "unreachable" // no connection could be opened, without a reply of the server
	reasonBusy        = "busy"        // no connection was free in time
)

// NewRefusals returns a counter; reg may be nil.
func NewRefusals(reg prometheus.Registerer) *Refusals {
	r := &Refusals{refused: map[string]bool{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "database_refusals_total",
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

// noteStatement stores a statement that failed with class 42.
func (r *Refusals) noteStatement(sql string, err error) {
	if r == nil || sql == "" || !strings.HasPrefix(State(err), "42") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) < maxRefused {
		r.refused[sql] = true
	}
}

// again tries the refused statements, without effect and without values: the server plans them,
// which checks tables, columns, functions and grants. It returns the first refusal, and removes the
// statements that the server accepts again.
func (r *Refusals) again(ctx context.Context, tx pgx.Tx) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	statements := slices.Collect(maps.Keys(r.refused))
	r.mu.Unlock()
	for _, sql := range statements {
		if err := plan(ctx, tx, sql); strings.HasPrefix(State(err), "42") {
			return err
		} else if State(err) == "" && err != nil {
			return err // no connection any more
		}
		r.mu.Lock()
		delete(r.refused, sql)
		r.mu.Unlock()
	}
	return nil
}

// plan uses a savepoint: without values a plan may fail for other reasons.
func plan(ctx context.Context, tx pgx.Tx, sql string) error {
	sub, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	defer sub.Rollback(ctx)
	const name = "refused_again"
	described, err := sub.Prepare(ctx, name, sql)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Conn().Deallocate(ctx, name) }()
	explain := "EXPLAIN EXECUTE " + name
	if n := len(described.ParamOIDs); n > 0 {
		explain += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	_, err = sub.Exec(ctx, explain, pgx.QueryExecModeSimpleProtocol)
	return err
}

// take reports whether a refusal occurred since the last call.
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

// passes reports whether a state is normal among concurrent transactions, or is a row's own, so
// that the server needs no examination.
func passes(state string) bool {
	switch state {
	case "40001", "40P01", "55P03", "57014", "25P02", "25P03", "23505", "23503", "23P01":
		return true
	}
	return errs.KindOf(Classify(&pgconn.PgError{Code: state})) == errs.Invalid && state != "23514" && state != "23502"
}
