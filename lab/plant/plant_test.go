package plant_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/lab/plant"
	"eventshop.example/pkg/postgres/server"
)

// instance is the server of this test binary; it ends with the binary.
var instance = sync.OnceValues(func() (*server.Temporary, error) {
	bin, err := server.FindBinaries(context.Background())
	if err != nil {
		return nil, err
	}
	return server.StartTemporary(context.Background(), bin)
})

// table is a table like an inbox or outbox: partitioned by range, with a default partition.
const table = `CREATE TABLE notes (id int NOT NULL, kind text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
	CREATE TABLE notes_default PARTITION OF notes DEFAULT;
	CREATE TABLE notes_low PARTITION OF notes FOR VALUES FROM (0) TO (100);`

// database creates a database whose role owns only that database, as a service's does, and returns
// its URL.
func database(t *testing.T) string {
	t.Helper()
	srv, err := instance()
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(t.Name())
	admin, err := pgx.Connect(t.Context(), srv.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{"CREATE ROLE " + name + " LOGIN", "CREATE DATABASE " + name + " OWNER " + name} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(srv.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(name)
	dsn := u.String()
	must(t, dsn, "DO $$ BEGIN ASSERT current_user = '"+name+"'; END $$")
	must(t, dsn, table)
	return dsn
}

// exec runs the statements in one transaction on its own connection.
func exec(t *testing.T, dsn string, statements ...string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
}

func must(t *testing.T, dsn, sql string) {
	t.Helper()
	if err := exec(t, dsn, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func refuse(t *testing.T, dsn string, f plant.Fault) (remove func(context.Context) error) {
	t.Helper()
	remove, err := plant.Refuse(t.Context(), dsn, f)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

// wantState expects the error of a planted fault.
func wantState(t *testing.T, err error, state, message string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != state || !strings.Contains(pg.Message, message) {
		t.Errorf("got %v, want SQLSTATE %s and %q", err, state, message)
	}
}

func count(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM notes`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestARowIsRefusedUntilTheFaultIsRemoved(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	remove := refuse(t, dsn, plant.Fault{Table: "notes", State: plant.DiskFull, Message: `could not extend "it's" \ full: 100 %`})
	for i, id := range []int{1, 1000} { // a partition with a range, and the default
		wantState(t, exec(t, dsn, fmt.Sprintf("INSERT INTO notes VALUES (%d)", id)), "53100", `could not extend "it's" \ full: 100 %`)
		if n := count(t, dsn); n != 0 {
			t.Fatalf("insert %d: %d rows are there", i, n)
		}
	}
	must(t, dsn, "CREATE TABLE later (LIKE notes)")
	must(t, dsn, "ALTER TABLE notes ATTACH PARTITION later FOR VALUES FROM (200) TO (300)")
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (200)"), "53100", "")
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, dsn, "INSERT INTO notes VALUES (1), (200), (1000)")
	if err := remove(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
	// Nothing is left behind.
	must(t, dsn, `DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_proc WHERE proname LIKE 'planted%') = 0;
		ASSERT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'planted%') = 0; END $$`)
}

func TestFailsTwiceThenWorks(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	remove := refuse(t, dsn, plant.Fault{Table: "notes", Times: 2})
	for range 2 {
		wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (1)"), plant.DefaultState, "a row of notes is refused")
	}
	must(t, dsn, "INSERT INTO notes VALUES (1), (2), (3)")
	all, err := plant.List(t.Context(), dsn)
	if err != nil || len(all) != 1 || all[0].Refused != 2 || all[0].Times != 2 || all[0].Table != "notes" {
		t.Errorf("listed %+v, %v", all, err)
	}
	if err := remove(t.Context()); err != nil {
		t.Error(err)
	}
	must(t, dsn, `DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_class WHERE relname LIKE 'planted%') = 0; END $$`)
}

func TestOnlyTheRowsThatMatch(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	refuse(t, dsn, plant.Fault{Table: "notes", Column: "kind", Value: `it's \ bad`, Times: 1})
	must(t, dsn, "INSERT INTO notes VALUES (1, 'good'), (2, NULL)")
	bad := `INSERT INTO notes VALUES (3, E'it''s \\ bad')`
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (4, 'good')", bad), plant.DefaultState, "")
	if n := count(t, dsn); n != 2 {
		t.Errorf("%d rows: the refused transaction left something", n)
	}
	must(t, dsn, bad)
}

func TestTwoFaultsActInTheOrderTheyWerePlanted(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	first := refuse(t, dsn, plant.Fault{Table: "notes", Message: "first", Times: 1})
	second := refuse(t, dsn, plant.Fault{Table: "notes", Message: "second"})
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (1)"), plant.DefaultState, "first")
	wantState(t, exec(t, dsn, "INSERT INTO notes VALUES (1)"), plant.DefaultState, "second")
	all, err := plant.List(t.Context(), dsn)
	if err != nil || len(all) != 2 || all[0].Message != "first" || all[1].Message != "second" {
		t.Fatalf("listed %+v, %v", all, err)
	}
	// Removed as the command line does it: by the listed name.
	if err := plant.Remove(t.Context(), dsn, all[1].Name); err != nil {
		t.Fatal(err)
	}
	must(t, dsn, "INSERT INTO notes VALUES (1)")
	for _, remove := range []func(context.Context) error{first, second} {
		if err := remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if all, err := plant.List(t.Context(), dsn); err != nil || len(all) != 0 {
		t.Errorf("listed %+v, %v", all, err)
	}
}

func TestWhatIsNoFault(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	for what, f := range map[string]plant.Fault{
		"no table":              {},
		"unknown table":         {Table: "nothing"},
		"unknown column":        {Table: "notes", Column: "colour", Value: "red"},
		"a value for no column": {Table: "notes", Value: "red"},
		"negative":              {Table: "notes", Times: -1},
		"no SQLSTATE":           {Table: "notes", State: "5310"},
		"small letters":         {Table: "notes", State: "p0001"},
		"success":               {Table: "notes", State: "00000"},
		"a warning":             {Table: "notes", State: "01000"},
	} {
		if _, err := plant.Refuse(t.Context(), dsn, f); err == nil || !strings.Contains(err.Error(), "plant a fault in table") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := plant.Remove(t.Context(), dsn, "notes"); err == nil {
		t.Error("what was not planted can be removed")
	}
	must(t, dsn, "INSERT INTO notes VALUES (1)")
}

// TestAnOpenTransactionIsNotWaitedForForEver: a process that is frozen in its transaction keeps the
// table's lock. Planting then fails, changes nothing and blocks no other transaction.
func TestAnOpenTransactionIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	frozen, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{"BEGIN", "INSERT INTO notes VALUES (1)"} {
		if _, err := frozen.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_, err = plant.Refuse(t.Context(), dsn, plant.Fault{Table: "notes", Times: 1})
	wantState(t, err, "55P03", "lock timeout")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	must(t, dsn, "INSERT INTO notes VALUES (2)")
	must(t, dsn, `DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_class WHERE relname LIKE 'planted%') = 0; END $$`)
}

// TestPlantingUnderLoad: continuous inserts are refused or done. Neither they nor planting and
// removing end in a deadlock.
func TestPlantingUnderLoad(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	ctx, end := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// Two rows, of both partitions, in one transaction.
				id := 1000 + 1_000_000*w + n
				err := exec(t, dsn, fmt.Sprintf("INSERT INTO notes VALUES (%d)", id), fmt.Sprintf("INSERT INTO notes VALUES (%d) ON CONFLICT DO NOTHING", n%100))
				var pg *pgconn.PgError
				if err != nil && (!errors.As(err, &pg) || pg.Code != plant.DefaultState) {
					t.Errorf("insert: %v", err)
				}
			}
		})
	}
	for range 40 {
		remove := refuse(t, dsn, plant.Fault{Table: "notes"})
		if err := remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
	end()
	writers.Wait()
	if n := count(t, dsn); n == 0 {
		t.Error("no row got through")
	}
}
