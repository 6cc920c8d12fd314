package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
)

// Migrations selects what changes the schema: the value of the environment variable MIGRATIONS.
type Migrations string

// The values of Migrations. The empty one means MigrationsRun.
const (
	MigrationsRun  Migrations = "run"  // the service, at its start
	MigrationsWait Migrations = "wait" // another process; the service is not ready before it is done
)

// Check returns errs.Invalid for another value.
func (m Migrations) Check() error {
	switch m {
	case "", MigrationsRun, MigrationsWait:
		return nil
	}
	return errs.New(errs.Invalid, `environment variable MIGRATIONS must be "run" or "wait", not %q`, string(m))
}

// current returns nil when the database has every migration of the components, and the connecting
// role may read each table for which it has a [Grant]. A newer schema is accepted. A missing
// migration or privilege is errs.Transient: another process is about to add it.
func current(ctx context.Context, pool *pgxpool.Pool, comps []Component) error {
	for _, c := range WithPartitions(comps) {
		want, err := versions(c)
		if err != nil {
			return fmt.Errorf("wait for migrations: %w", err)
		}
		done, err := applied(ctx, pool, c.Name+"_migrations", want)
		if err != nil {
			return Classify(fmt.Errorf("wait for migrations: %w", err))
		}
		if done < len(want) {
			return errs.New(errs.Transient, "waits for migrations: %s %d of %d", c.Name, done, len(want))
		}
		for _, g := range c.Grants {
			if g.App == "" {
				continue
			}
			var ok bool
			err := pool.QueryRow(ctx, `SELECT coalesce(has_any_column_privilege(to_regclass($1), 'SELECT'), false)`,
				c.table(g.Table)).Scan(&ok)
			if err != nil {
				return Classify(fmt.Errorf("wait for migrations: %w", err))
			}
			if !ok {
				return errs.New(errs.Transient, "waits for migrations: no privilege on %s yet", g.Table)
			}
		}
	}
	return nil
}

// versions lists the numbers that a component's files begin with.
func versions(c Component) ([]int64, error) {
	files, err := c.Files()
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("component %s: the name of %s does not begin with a number", c.Name, name)
		}
		all = append(all, v)
	}
	return all, nil
}

// applied counts the given versions that the table lists as applied. It returns 0 when the table
// does not exist or the role may not read it yet.
func applied(ctx context.Context, pool *pgxpool.Pool, table string, versions []int64) (n int, err error) {
	err = pool.QueryRow(ctx, `SELECT count(*) FROM (
		SELECT DISTINCT ON (version_id) version_id, is_applied FROM `+pgx.Identifier{table}.Sanitize()+`
		WHERE version_id = ANY ($1) ORDER BY version_id, id DESC) latest WHERE is_applied`, versions).Scan(&n)
	if state := State(err); state == "42P01" || state == "42501" {
		return 0, nil
	}
	return n, err
}
