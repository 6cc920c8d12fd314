package postgres_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func openPool(t *testing.T, cfg postgres.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestPasswordFile: the file's password opens the pool and the migrations. While server and file
// disagree, the error is Transient and contains no password. When they agree again, new connections
// work, without a new pool.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	admin, urlOf := pgtest.Strict(t, "first", "app")
	appURL := urlOf("app")
	file := filepath.Join(t.TempDir(), "password")
	put := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := postgres.Config{URL: appURL, PasswordFile: file}
	pool := openPool(t, cfg)
	refused := func(when, want string) {
		t.Helper()
		pool.Reset()
		err := postgres.Classify(pool.Ping(t.Context()))
		if errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: kind %v of %v, want Transient with %q", when, errs.KindOf(err), err, want)
		}
		if strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", when, err)
		}
	}
	refused("no file", "read the database password")
	put("hunter2")
	refused("wrong password", "28P01")
	put("first")
	exec(t, pool, "SELECT 1")

	table := postgres.Component{Name: "things", FS: fstest.MapFS{
		"00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (id int);\n")}}}
	if err := postgres.MigrateWith(t.Context(), cfg, table); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "SELECT id FROM things")

	exec(t, admin, "ALTER ROLE app PASSWORD 'second'")
	refused("rotated at the server only", "28P01")
	// A service that starts at this moment waits, and continues by itself.
	more := postgres.Component{Name: "more", FS: fstest.MapFS{
		"00001_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (id int);\n")}}}
	life := postgres.NewLifecycle(appURL, pool, slog.New(slog.DiscardHandler), nil, []postgres.Component{more})
	ended := make(chan error, 1)
	go func() { ended <- life.Migrate(t.Context()) }()
	if err := life.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("Ready while the password is wrong: %v", err)
	}
	put("second")
	kafkatest.Eventually(t, "migrations done", life.Prepared)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	exec(t, pool, "SELECT id FROM more")
}
