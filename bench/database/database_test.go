package database

import (
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres/server"
)

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.Context())
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Every promise depends on these settings, and a figure without them is worth nothing.
func TestTheServerIsDurable(t *testing.T) {
	t.Parallel()
	settings, err := start(t).Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if settings[name] != "on" {
			t.Errorf("%s is %q", name, settings[name])
		}
	}
}

// Two writing transactions of three statements each, with BEGIN and COMMIT, beside a reader.
func TestCounters(t *testing.T) {
	t.Parallel()
	s := start(t)
	if !s.Counts() {
		t.Skip("the server has no pg_stat_statements")
	}
	url, err := s.Create(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE TABLE orders (id int PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	m, err := s.Meter(t.Context(), map[string]int{"self": os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // BEGIN and COMMIT are not counted
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO orders VALUES ($1)`, i)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `SELECT count(*) FROM orders`); err != nil {
		t.Fatal(err)
	}
	u, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.Statements["shop"] != 3 || u.AllStatements() != 3 || u.Writes != 2 {
		t.Errorf("%d statements, %d transactions that wrote; want 3 and 2", u.Statements["shop"], u.Writes)
	}
	if u.WAL < 200 || u.WAL > 100_000 {
		t.Errorf("%d bytes of log for two rows", u.WAL)
	}
	if _, ok := u.CPU["self"]; !ok || len(u.CPU) != 2 {
		t.Errorf("processor times of %v", u.CPU)
	}
}

func TestStatementsAreThoseSinceTheReset(t *testing.T) {
	t.Parallel()
	s := start(t)
	if !s.Counts() {
		t.Skip("the server has no pg_stat_statements")
	}
	url, err := s.Create(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	look := func(times int) {
		for range times {
			if _, err := conn.Exec(t.Context(), `SELECT count(*) FROM pg_class`); err != nil {
				t.Fatal(err)
			}
		}
	}
	look(5)
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	look(3)
	got, err := s.Statements(t.Context(), "shop", 2)
	if err != nil || len(got) != 1 || got[0].Calls != 3 || got[0].Buffers < 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestADatabaseIsShutAndReopened(t *testing.T) {
	t.Parallel()
	s := start(t)
	url, err := s.Create(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	before, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close(t.Context())
	if err := s.Shut(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := before.Ping(t.Context()); err == nil {
		t.Error("a connection outlives the shutting")
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("a database that is shut takes a connection")
	}
	if err := s.Reopen(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	after, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("after reopening: %v", err)
	}
	after.Close(t.Context())
}
