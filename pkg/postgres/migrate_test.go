package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

func component(name string, files ...string) postgres.Component {
	fs := fstest.MapFS{}
	for i, sql := range files {
		fs[fmt.Sprintf("migrations/%05d_step.sql", i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
	}
	return postgres.Component{Name: name, FS: fs}
}

func TestMigrateSeveralReplicasAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	comps := []postgres.Component{
		component("first", "CREATE TABLE a (n int);", "INSERT INTO a VALUES (1);"),
		component("second", "INSERT INTO a VALUES (2);"),
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return postgres.Migrate(t.Context(), url, comps...) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	pool := open(t, url)
	var got string
	if err := pool.QueryRow(t.Context(), "SELECT string_agg(n::text, ',' ORDER BY n) FROM a").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != "1,2" {
		t.Errorf("table holds %s, want each step once: 1,2", got)
	}
	for table, want := range map[string]int{"first_migrations": 2, "second_migrations": 1} {
		var version int
		if err := pool.QueryRow(t.Context(), "SELECT max(version_id) FROM "+table).Scan(&version); err != nil {
			t.Fatal(err)
		}
		if version != want {
			t.Errorf("%s is at %d, want %d", table, version, want)
		}
	}
}

func TestMigrateReportsABrokenStepAndKeepsTheEarlierOnes(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	broken := component("first", "CREATE TABLE a (n int);", "CREATE TABLE b (n int); SELEC;")
	if err := postgres.Migrate(t.Context(), url, broken); err == nil || errs.KindOf(err) == errs.Transient {
		t.Fatalf("got %v, want a lasting error", err)
	}
	repaired := component("first", "CREATE TABLE a (n int);", "CREATE TABLE b (n int);")
	if err := postgres.Migrate(t.Context(), url, repaired); err != nil {
		t.Errorf("migrate with the step repaired: %v", err)
	}
}

func TestMigrateRefusesBadComponents(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	if err := postgres.Migrate(t.Context(), url, component("Drop;Table", "SELECT 1;")); errs.KindOf(err) != errs.Invalid {
		t.Errorf("bad name: got %v, want Invalid", err)
	}
	if err := postgres.Migrate(t.Context(), url, component("empty")); err == nil {
		t.Error("a component without files was accepted")
	}
}

func TestMigrateWaitsForTheServer(t *testing.T) {
	t.Parallel()
	pgtest.NewURL(t) // skips here when there are no binaries
	bin, err := server.FindBinaries(t.Context())
	if err != nil {
		t.Skip(err) // a server given by URL, without binaries
	}
	dir, err := os.MkdirTemp("", "pg-") // the server's user cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	url := fmt.Sprintf("postgres://admin:secret@127.0.0.1:%d/postgres?sslmode=disable", port)
	done := make(chan error, 1)
	go func() { done <- postgres.Migrate(ctx, url, component("first", "CREATE TABLE a (n int);")) }()

	data := filepath.Join(dir, "data")
	if err := server.InitDB(ctx, bin, data, "admin", "secret", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("migrate returned %v although the server is not up", err)
	default:
	}
	cmd, err := server.Command(bin, data, port, "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = <-done
	if serr := cmd.Process.Signal(syscall.SIGINT); serr != nil {
		t.Error(serr)
	}
	if werr := cmd.Wait(); werr != nil {
		t.Errorf("server: %v", werr)
	}
	if err != nil {
		t.Errorf("migrate: %v\n%s", err, log.String())
	}
}

func TestMigrateGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = postgres.Migrate(ctx, fmt.Sprintf("postgres://admin@127.0.0.1:%d/x?sslmode=disable", port), component("first", "SELECT 1;"))
	if errs.KindOf(err) != errs.Transient {
		t.Errorf("got %v, want Transient", err)
	}
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
