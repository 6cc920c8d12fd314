package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"eventshop.example/pkg/errs"
)

// Component is one set of goose migrations. Each has its own version table,
// "<name>_migrations", so that the components of one database (the outbox, the
// inbox, a service's own tables) are numbered independently.
type Component struct {
	Name string // lower-case letters, digits and underscores
	FS   fs.FS  // the .sql files, at its root or in a folder "migrations"

	// Schema is the Postgres schema of the tables that Grants name; "" is public. A migration creates
	// it. The version table is in public in any case.
	Schema string

	Partitioned []Partitioned // those of its tables that have day partitions
	Grants      []Grant       // privileges of the other roles on its tables; see Job
}

// Files returns the file system that has the .sql files at its root.
func (c Component) Files() (fs.FS, error) {
	if info, err := fs.Stat(c.FS, "migrations"); err == nil && info.IsDir() {
		return fs.Sub(c.FS, "migrations")
	}
	return c.FS, nil
}

// Migrate updates the components, in the order given. Replicas may start together: a lock of the
// database lets one migrate while the others wait. While the server cannot be reached, Migrate
// tries again with a growing pause until ctx is done; it returns any other error at once. A
// migration that was interrupted runs again from its beginning, because each is one transaction.
func Migrate(ctx context.Context, url string, comps ...Component) error {
	return MigrateWith(ctx, Config{URL: url}, comps...)
}

// MigrateWith is [Migrate] for a database whose password is in a file.
func MigrateWith(ctx context.Context, cfg Config, comps ...Component) error {
	return migrateUntilReached(ctx, cfg.URL, prepare(cfg, &route{}), comps, waitForAll)
}

// beforeConnect changes a connection's settings before it is opened; nil changes none.
type beforeConnect = func(context.Context, *pgx.ConnConfig) error

// waitForAll is for services: no refusal is final, so they wait for all of them.
func waitForAll(error) bool { return false }

// migrateUntilReached migrates. It retries a Transient error unless the error is final.
func migrateUntilReached(ctx context.Context, url string, hook beforeConnect, comps []Component, final func(error) bool) error {
	pause := 100 * time.Millisecond
	for {
		err := migrate(ctx, url, hook, comps)
		if err == nil || errs.KindOf(err) != errs.Transient || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		slog.WarnContext(ctx, "waiting for the database", "error", err, "nextTryIn", pause.String())
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func migrate(ctx context.Context, url string, hook beforeConnect, comps []Component) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return errs.New(errs.Invalid, "read the database URL: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	var opts []stdlib.OptionOpenDB
	if hook != nil {
		opts = append(opts, stdlib.OptionBeforeConnect(hook))
	}
	db := stdlib.OpenDB(*cfg, opts...)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return Classify(fmt.Errorf("connect to the database: %w", err))
	}
	unlock, err := lockMigrations(ctx, db)
	if err != nil {
		return Classify(fmt.Errorf("wait for another process's migrations: %w", err))
	}
	defer unlock()
	for _, c := range WithPartitions(comps) {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(c.Name) {
			return errs.New(errs.Invalid, "migrate: component name %q is not lower-case letters, digits and underscores", c.Name)
		}
		files, err := c.Files()
		if err != nil {
			return fmt.Errorf("migrate %s: %w", c.Name, err)
		}
		provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
			goose.WithTableName(c.Name+"_migrations"),
			goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
		if errors.Is(err, goose.ErrNoMigrations) {
			return fmt.Errorf("migrate %s: no .sql files: %w", c.Name, err)
		}
		if err != nil {
			return fmt.Errorf("migrate %s: %w", c.Name, err)
		}
		if _, err := provider.Up(ctx); err != nil {
			return Classify(fmt.Errorf("migrate %s: %w", c.Name, err))
		}
		if err := register(ctx, db, c.Partitioned); err != nil {
			return Classify(fmt.Errorf("migrate %s: %w", c.Name, err))
		}
	}
	return nil
}

// migrationsWait bounds one wait for the lock; the caller tries again.
const migrationsWait = "5s"

// lockMigrations lets one process migrate the database. The lock belongs to a transaction on a
// connection of its own, not to a session: behind a pooler a session's lock would stay with the
// server session that took it. Its number is that of goose's session locker, so that processes of
// an earlier release and of this one exclude each other.
func lockMigrations(ctx context.Context, db *sql.DB) (unlock func(), err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`SET LOCAL lock_timeout = '` + migrationsWait + `'`,
		`SET LOCAL idle_in_transaction_session_timeout = 0`, // it idles while the migrations run
		fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, lock.DefaultLockID),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, tx.Rollback())
		}
	}
	return func() { _ = tx.Rollback() }, nil // when it fails, the connection is gone and the lock with it
}
