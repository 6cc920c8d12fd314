// Package pgtest creates a database per test on a real PostgreSQL server.
//
// Each test binary starts at most one server, at the first use. It is temporary: it syncs nothing
// to disk. It ends, and removes its folder, when the test process ends for any reason. A set of
// migrations runs once per binary into a template database. A test's database is a copy of it,
// which takes some tens of milliseconds, so tests can run in parallel.
//
// The environment variable EVENTSHOP_TEST_POSTGRES_URL names a running server to use instead; its
// role must be allowed to create databases. The template databases (pgtest_template_<hash of the
// migrations>) stay there for the next run; the tests' own are dropped.
//
// Without a server and without server binaries a test is skipped on a developer's machine and fails
// where CI=true.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// ServerURLVariable is the environment variable that names a server to use.
const ServerURLVariable = "EVENTSHOP_TEST_POSTGRES_URL"

// databasePrefix begins the name of each test's database.
const databasePrefix = "pgtest_"

// setupTimeout bounds the start of the server and each preparation of a
// database; a start takes about a second on an idle machine.
const setupTimeout = 90 * time.Second

// instance returns the server of this test binary. The first test that needs it starts it, and it
// does not change afterwards.
var instance = sync.OnceValues(start)

type running struct {
	url       func(database string) string
	admin     *pgxpool.Pool // of the maintenance database
	mu        sync.Mutex
	templates map[string]func() error // by name; creates the template once
}

// NewDB returns a pool of a new database with the components' migrations
// applied. At the end of the test the pool is closed and the database dropped.
func NewDB(t testing.TB, comps ...postgres.Component) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Config{URL: NewURL(t, comps...)})
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// NewURL returns the URL of a new database with the components' migrations applied. The database is
// dropped at the end of the test, even when connections to it are still open.
func NewURL(t testing.TB, comps ...postgres.Component) string {
	t.Helper()
	srv, err := instance()
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs PostgreSQL: %v; or set %s", err, ServerURLVariable)
	}
	if err != nil {
		t.Fatalf("start the test database server: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	template, err := srv.template(ctx, comps)
	if err != nil {
		t.Fatalf("prepare the template database: %v", err)
	}
	name := databasePrefix + hex.EncodeToString(newID())
	if err := srv.create(ctx, name, template); err != nil {
		t.Fatalf("create the test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		if _, err := srv.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return srv.url(name)
}

func start() (*running, error) {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	srv := &running{templates: map[string]func() error{}}
	adminURL := os.Getenv(ServerURLVariable)
	if adminURL != "" {
		u, err := url.Parse(adminURL)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", ServerURLVariable, err)
		}
		srv.url = func(database string) string {
			v := *u
			v.Path = "/" + database
			return v.String()
		}
	} else {
		bin, err := server.FindBinaries(ctx)
		if err != nil {
			return nil, err
		}
		tmp, err := server.StartTemporary(ctx, bin)
		if err != nil {
			return nil, err
		}
		srv.url = tmp.URL
		adminURL = tmp.URL("postgres")
	}
	var err error
	srv.admin, err = postgres.Open(ctx, postgres.Config{URL: adminURL, MaxConns: 4})
	if err != nil {
		return nil, err
	}
	if err := srv.admin.Ping(ctx); err != nil {
		return nil, fmt.Errorf("reach the test database server: %w", err)
	}
	return srv, nil
}

// template returns the name of the database that contains the components. It creates the database
// when this process needs it for the first time.
func (r *running) template(ctx context.Context, comps []postgres.Component) (string, error) {
	name, err := templateName(comps)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	build, ok := r.templates[name]
	if !ok {
		build = sync.OnceValue(func() error { return r.build(ctx, name, comps) })
		r.templates[name] = build
	}
	r.mu.Unlock()
	return name, build()
}

// build migrates a database under a provisional name and renames it when it is complete. So a
// template of the right name is always complete, even on a shared server whose last user was
// killed.
func (r *running) build(ctx context.Context, name string, comps []postgres.Component) error {
	var exists bool
	err := r.admin.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil || exists {
		return err
	}
	draft := name + "_" + hex.EncodeToString(newID()[:4])
	if err := r.create(ctx, draft, "template0"); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, r.url(draft), comps...); err != nil {
		return errors.Join(err, r.drop(ctx, draft))
	}
	_, err = r.admin.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name)
	if isState(err, "42P04") { // another process created it first
		return r.drop(ctx, draft)
	}
	return err
}

func (r *running) drop(ctx context.Context, name string) error {
	_, err := r.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	return err
}

// create copies a template. A copy needs a template without connections. The migrating connections
// may take a moment to close, and two copies of the same template exclude each other for an
// instant.
func (r *running) create(ctx context.Context, name, template string) error {
	pause := 10 * time.Millisecond
	for {
		_, err := r.admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
		if !isState(err, "55006") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

func templateName(comps []postgres.Component) (string, error) {
	sum := sha256.New()
	for _, c := range postgres.WithPartitions(comps) {
		fmt.Fprintf(sum, "component %s %q\n", c.Name, c.Partitioned)
		files, err := c.Files()
		if err != nil {
			return "", err
		}
		names, err := fs.Glob(files, "*.sql")
		if err != nil {
			return "", err
		}
		slices.Sort(names)
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(sum, "file %s %d\n%s", name, len(text), text)
		}
	}
	return "pgtest_template_" + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func isState(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

func newID() []byte {
	id := uuid.New()
	return id[:]
}
