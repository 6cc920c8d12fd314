package pgtest

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// SkipExamples skips the binary's examples when its tests are skipped: without PostgreSQL, outside
// of CI. TestMain calls it before m.Run, because an example cannot skip itself.
func SkipExamples() error {
	_, err := instance()
	if !errors.Is(err, server.ErrNotFound) || os.Getenv("CI") == "true" {
		return nil // an example reports any other error itself
	}
	fmt.Fprintf(os.Stderr, "examples are skipped: %v; or set %s\n", err, ServerURLVariable)
	return flag.Set("test.skip", "^Example")
}

// ExampleDB is [NewDB] for an example, which has no test whose end drops the database: drop closes
// the pool and drops the database.
func ExampleDB(ctx context.Context, comps ...postgres.Component) (pool *pgxpool.Pool, drop func(), err error) {
	srv, err := instance()
	if err != nil {
		return nil, nil, fmt.Errorf("start the test database server: %w", err)
	}
	template, err := srv.template(ctx, comps)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare the template database: %w", err)
	}
	name := databasePrefix + hex.EncodeToString(newID())
	if err := srv.create(ctx, name, template); err != nil {
		return nil, nil, fmt.Errorf("create the example's database: %w", err)
	}
	if pool, err = postgres.Open(ctx, postgres.Config{URL: srv.url(name)}); err != nil {
		return nil, nil, fmt.Errorf("open the example's database: %w", err)
	}
	return pool, func() {
		pool.Close()
		if err := srv.drop(context.WithoutCancel(ctx), name); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}, nil
}
