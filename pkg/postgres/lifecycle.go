package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
)

const (
	// maintainEvery is often enough to make tomorrow's partitions days ahead.
	maintainEvery = time.Hour
	// retryPause is between tries while the server is away.
	retryPause = time.Second
)

// Lifecycle is one service's tables over the life of its process: brought up to
// date before anybody uses them, then looked after. A service makes one and runs
// Migrate and Maintain beside the parts that wait with After.
type Lifecycle struct {
	url      string
	pool     *pgxpool.Pool
	comps    []Component
	upkeep   []func(ctx context.Context) error
	log      *slog.Logger
	prepared chan struct{} // closed when the tables can be used
}

// NewLifecycle returns the life of the database at url. The upkeep functions make
// partitions ahead and drop old ones; each is called once before the first write,
// so that no row misses its partition, and hourly from then on.
func NewLifecycle(url string, pool *pgxpool.Pool, log *slog.Logger, comps []Component, upkeep ...func(ctx context.Context) error) *Lifecycle {
	return &Lifecycle{url: url, pool: pool, comps: comps, upkeep: upkeep, log: log, prepared: make(chan struct{})}
}

// Migrate waits for the server, migrates, does the first upkeep, and then lets
// the parts that wait begin. It returns nil when ctx ends first, and an error
// only for a migration that fails for good.
func (l *Lifecycle) Migrate(ctx context.Context) error {
	for {
		err := Migrate(ctx, l.url, l.comps...)
		if err == nil {
			err = l.maintain(ctx)
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
		l.log.WarnContext(ctx, "database not prepared; will be tried again", "error", err)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

// Maintain repeats the upkeep until ctx ends. A failure is logged and tried again
// at the next turn: partitions are made days ahead.
func (l *Lifecycle) Maintain(ctx context.Context) error {
	for pause(ctx, maintainEvery) {
		if err := l.maintain(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "database upkeep failed; will be tried again", "error", err)
		}
	}
	return nil
}

func (l *Lifecycle) maintain(ctx context.Context) error {
	var all []error
	for _, f := range l.upkeep {
		all = append(all, f(ctx))
	}
	return errors.Join(all...)
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

// Ready is the readiness check of the database: nil when it answers and its
// tables can be used.
func (l *Lifecycle) Ready(ctx context.Context) error {
	if err := l.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database does not answer: %w", err)
	}
	if !l.Prepared() {
		return errors.New("migrations are not done yet")
	}
	return nil
}

// Prepared tells whether the tables can be used.
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
