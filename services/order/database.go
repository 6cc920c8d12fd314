package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

const (
	// grace is what all parts together may take to stop.
	grace = 15 * time.Second
	// keep is how long published outbox rows and inbox rows stay. A redelivery comes
	// within minutes; a week is for looking at what happened, and for dead letters.
	keep = 7 * 24 * time.Hour
	// maintainEvery is often enough to make tomorrow's partitions days ahead.
	maintainEvery = time.Hour
	// retryPause is between tries while the database is away.
	retryPause = time.Second
	// refusedPause is between tries to register a schema the registry refuses.
	refusedPause = 30 * time.Second
)

// database is the service's tables: brought up to date before anybody uses them,
// then looked after.
type database struct {
	url      string
	pool     *pgxpool.Pool
	outbox   *outbox.Outbox
	log      *slog.Logger
	migrated chan struct{} // closed when the tables can be used
}

func newDatabase(url string, pool *pgxpool.Pool, out *outbox.Outbox, log *slog.Logger) *database {
	return &database{url: url, pool: pool, outbox: out, log: log, migrated: make(chan struct{})}
}

// migrate waits for the server, migrates and makes the first partitions, then lets
// the other parts begin.
func (d *database) migrate(ctx context.Context) error {
	for {
		err := postgres.Migrate(ctx, d.url, Components()...)
		if err == nil {
			err = d.upkeep(ctx) // before the first write, so that no row misses its partition
		}
		switch {
		case err == nil:
			close(d.migrated)
			return nil
		case ctx.Err() != nil:
			return nil
		case errs.KindOf(err) != errs.Transient:
			return err
		}
		d.log.WarnContext(ctx, "database not prepared; will be tried again", "error", err)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

// maintain makes and drops partitions from time to time.
func (d *database) maintain(ctx context.Context) error {
	for pause(ctx, maintainEvery) {
		if err := d.upkeep(ctx); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "database upkeep failed; will be tried again", "error", err)
		}
	}
	return nil
}

func (d *database) upkeep(ctx context.Context) error {
	return errors.Join(
		d.outbox.Maintain(ctx, d.pool, keep),
		inbox.Maintain(ctx, d.pool, time.Now(), keep),
	)
}

// after delays a part until the tables can be used.
func (d *database) after(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-d.migrated:
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// usable tells whether the tables can be used.
func (d *database) usable() bool {
	select {
	case <-d.migrated:
		return true
	default:
		return false
	}
}

// ready is the readiness check of the database.
func (d *database) ready(ctx context.Context) error {
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database does not answer: %w", err)
	}
	if !d.usable() {
		return errors.New("migrations are not done yet")
	}
	return nil
}
