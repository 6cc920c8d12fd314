package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

const (
	// maintainEvery is often enough to create tomorrow's partitions days ahead.
	maintainEvery = time.Hour
	// maintainAgain is the pause after an upkeep that failed, most likely because a long
	// transaction had a lock.
	maintainAgain = time.Minute
	// retryPause is between tries while the server is unavailable.
	retryPause = time.Second
)

// Lifecycle manages one service's tables while its process runs: it updates them before they are
// used, and maintains them afterwards. A service creates one, and runs Migrate and Maintain beside
// the parts that wait with After.
type Lifecycle struct {
	Mode Migrations // set before Migrate
	// Pools are those of the service. Ready examines the statements that they were refused, over a
	// connection of the relay's pool. nil: Ready uses the lifecycle's own pool, and examines no
	// refusals.
	Pools *Pools

	url      string
	pool     *pgxpool.Pool
	comps    []Component
	upkeep   []Upkeep
	metrics  *upkeepMetrics
	log      *slog.Logger
	prepared chan struct{} // closed when the tables can be used
	lacks    atomic.Value  // string: why the tables cannot be used yet
	writes   writeCheck
}

// NewLifecycle returns the lifecycle of the database at url; its password is the pool's. The
// preparing upkeep runs before the first write, so that no row misses its partition. The pruning
// upkeep runs afterwards, so that a lock on old rows prevents no service from starting. Both run
// again every hour. reg may be nil.
func NewLifecycle(url string, pool *pgxpool.Pool, log *slog.Logger, reg prometheus.Registerer, comps []Component, upkeep ...Upkeep) *Lifecycle {
	return &Lifecycle{
		url: url, pool: pool, comps: comps, upkeep: upkeep, metrics: newUpkeepMetrics(reg, upkeep),
		log: log, prepared: make(chan struct{}),
	}
}

// Migrate waits for the server, migrates (or waits for the migrations, see Mode), prepares the
// tables, and then lets the waiting parts start. It returns nil when ctx ends first, and an error
// only for a migration that fails permanently.
func (l *Lifecycle) Migrate(ctx context.Context) error {
	for {
		err := l.migrate(ctx)
		if err == nil {
			err = l.prepare(ctx)
		}
		if err != nil && ctx.Err() == nil {
			// A server that accepts no writes refuses a migration in the same way as it refuses a
			// wrong one.
			err = Settle(ctx, l.pool, err)
		}
		switch {
		case err == nil:
			close(l.prepared)
			return nil
		case ctx.Err() != nil:
			return nil
		case errs.KindOf(err) != errs.Transient:
			return err
		}
		if l.lacks.Swap(err.Error()) != err.Error() { // once, not every second
			l.log.WarnContext(ctx, "database not prepared; will be tried again", "error", err)
		}
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

func (l *Lifecycle) migrate(ctx context.Context) error {
	if l.Mode == MigrationsWait {
		return current(ctx, l.pool, l.comps)
	}
	return migrateUntilReached(ctx, l.url, l.pool.Config().BeforeConnect, l.comps, waitForAll)
}

// Maintain runs the upkeep at once and then every hour until ctx ends. A failure is logged,
// counted, and tried again after a minute; partitions are created days ahead. One table's failure
// does not delay the others.
func (l *Lifecycle) Maintain(ctx context.Context) error {
	for {
		next := maintainEvery
		for _, u := range l.upkeep {
			err := l.maintain(ctx, u)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				l.metrics.failures.WithLabelValues(u.Table).Inc()
				l.log.WarnContext(ctx, "database upkeep failed; will be tried again", "table", u.Table, "error", err, "after", maintainAgain.String())
				next = maintainAgain
				continue
			}
			l.metrics.success.WithLabelValues(u.Table).Set(float64(time.Now().Unix()))
		}
		if !pause(ctx, next) {
			return nil
		}
	}
}

func (l *Lifecycle) maintain(ctx context.Context, u Upkeep) error {
	var all []error
	if u.Prepare != nil {
		all = append(all, u.Prepare(ctx))
	}
	if u.Prune != nil {
		dropped, err := u.Prune(ctx)
		all = append(all, err)
		if len(dropped) > 0 {
			l.metrics.dropped.WithLabelValues(u.Table).Add(float64(len(dropped)))
			l.log.InfoContext(ctx, "old partitions dropped", "table", u.Table, "partitions", dropped)
		}
	}
	return errors.Join(all...)
}

func (l *Lifecycle) prepare(ctx context.Context) error {
	for _, u := range l.upkeep {
		if u.Prepare == nil {
			continue
		}
		if err := u.Prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// After delays a part until the tables can be used. A part whose ctx ends first
// never runs.
func (l *Lifecycle) After(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-l.prepared:
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Once returns a part that does something one time, such as seeding a table. It tries again every
// second while the environment makes it fail.
func (l *Lifecycle) Once(what string, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		said := ""
		for {
			err := Classify(do(ctx))
			if err != nil && ctx.Err() == nil {
				err = Settle(ctx, l.pool, err)
			}
			switch {
			case err == nil || ctx.Err() != nil:
				return nil
			case errs.KindOf(err) != errs.Transient:
				return err
			}
			if text := err.Error(); text != said {
				l.log.WarnContext(ctx, what+" not done; will be tried again", "error", err)
				said = text
			}
			if !pause(ctx, retryPause) {
				return nil
			}
		}
	}
}

// Ready is the readiness check of the database. It returns nil when the database answers, its
// tables can be used, and it accepts writes. After a refusal that may be the server's fault it
// returns an error until a harmless write to every table works (see [Probe]).
func (l *Lifecycle) Ready(ctx context.Context) error {
	pool, refusals := l.pool, (*Refusals)(nil)
	if l.Pools != nil {
		pool, refusals = l.Pools.Relay, l.Pools.Refusals
	}
	if err := pool.Ping(ctx); err != nil {
		return fmt.Errorf("database does not answer: %w", err)
	}
	if !l.Prepared() {
		if reason, ok := l.lacks.Load().(string); ok {
			return errors.New(reason)
		}
		return errors.New("migrations are not done yet")
	}
	return l.writes.ask(ctx, pool, refusals)
}

// Prepared reports whether the tables can be used.
func (l *Lifecycle) Prepared() bool {
	select {
	case <-l.prepared:
		return true
	default:
		return false
	}
}

// pause waits, and returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
