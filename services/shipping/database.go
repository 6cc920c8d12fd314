package shipping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

const (
	// keep is how long published outbox rows and inbox rows stay. A redelivery comes
	// within minutes; a week leaves time to look at what happened.
	keep = 7 * 24 * time.Hour
	// maintainEvery is often enough: partitions are made days ahead.
	maintainEvery = time.Hour
	// retryPause is between tries while the database is away.
	retryPause = time.Second
)

// database is the service's tables: brought up to date before anybody uses them, then
// looked after.
type database struct {
	url      string
	pool     *pgxpool.Pool
	outbox   *outbox.Outbox
	log      *slog.Logger
	prepared chan struct{} // closed when the tables can be used
}

func newDatabase(url string, pool *pgxpool.Pool, out *outbox.Outbox, log *slog.Logger) *database {
	return &database{url: url, pool: pool, outbox: out, log: log, prepared: make(chan struct{})}
}

// prepare waits for the server, migrates and makes the first partitions, then lets the
// other parts begin. A migration that fails by itself ends the service.
func (d *database) prepare(ctx context.Context) error {
	for {
		err := postgres.Migrate(ctx, d.url, Components()...)
		if err == nil {
			err = d.upkeep(ctx) // before the first row, so that none misses its partition
		}
		switch {
		case err == nil:
			close(d.prepared)
			return nil
		case ctx.Err() != nil:
			return nil
		case errs.KindOf(err) != errs.Transient:
			return err
		}
		d.log.WarnContext(ctx, "database not prepared; trying again", "error", err)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

// maintain makes the partitions of the coming days and drops old ones, every hour.
func (d *database) maintain(ctx context.Context) error {
	for pause(ctx, maintainEvery) {
		if err := d.upkeep(ctx); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "upkeep of partitions failed; trying again in an hour", "error", err)
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
		case <-d.prepared:
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// guard answers 503 until the tables can be used.
func (d *database) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-d.prepared:
			next.ServeHTTP(w, r)
		default:
			httpapi.WriteError(w, r, errs.New(errs.Transient, "the service is starting; its database is not prepared yet"))
		}
	})
}

// ready is the readiness check of the database.
func (d *database) ready(ctx context.Context) error {
	if err := d.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database does not answer: %w", err)
	}
	select {
	case <-d.prepared:
		return nil
	default:
		return errors.New("migrations are not done yet")
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
