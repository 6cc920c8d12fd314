package postgres_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func diary() postgres.Component {
	c := component("diary", `
		CREATE TABLE diary (id uuid NOT NULL, done boolean NOT NULL DEFAULT false, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE diary_default PARTITION OF diary DEFAULT;`,
		`CREATE TABLE secrets (n int);`)
	c.Partitioned = []postgres.Partitioned{{Table: "diary", KeepIf: "NOT done"}}
	c.Grants = []postgres.Grant{{Table: "diary", App: "SELECT, INSERT, UPDATE (done)", CDC: "SELECT"}, {Table: "secrets"}}
	return c
}

func TestJobGivesTheRolesWhatTheyNeedAndNothingElse(t *testing.T) {
	t.Parallel()
	s := pgtest.NewSeparate(t, diary())
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			return postgres.Job(t.Context(), postgres.Config{URL: s.MigratorURL}, s.Roles, diary())
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	app := open(t, s.AppURL)
	if err := postgres.EnsurePartitions(t.Context(), app, "diary", noon, noon.AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	s.Check(t)
	for i, done := range []bool{true, false, true} {
		id := v7(noon.AddDate(0, 0, i), [16]byte{9: byte(i)})
		if _, err := app.Exec(t.Context(), "INSERT INTO diary (id) VALUES ($1)", id); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Exec(t.Context(), "UPDATE diary SET done = $2 WHERE id = $1", id, done); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := app.Exec(t.Context(), "UPDATE diary SET note = ''"); err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("update of a column that was not granted: %v", err)
	}
	var notYet *string
	tomorrow := time.Now().AddDate(0, 0, 1)
	if err := postgres.EnsurePartitions(t.Context(), app, "diary", tomorrow, tomorrow); err != nil {
		t.Fatal(err)
	}
	err := app.QueryRow(t.Context(), "SELECT drop_day_partition('diary', $1::date, 'infinity')", tomorrow.UTC()).Scan(&notYet)
	if err != nil || notYet == nil || *notYet != "its day is not over" {
		t.Errorf("drop of tomorrow: %v, %v", notYet, err)
	}
	// The caller passes no guard: only the registered condition keeps the second day.
	dropped, err := postgres.DropPartitions(t.Context(), app, "diary", noon.AddDate(0, 0, 9))
	if err != nil || strings.Join(dropped, " ") != "diary_p20240301 diary_p20240303" {
		t.Errorf("dropped %v, %v; want the days whose rows are done", dropped, err)
	}

	cdc := open(t, s.CDCURL)
	if _, err := cdc.Exec(t.Context(), "SELECT * FROM diary"); err != nil {
		t.Error(err)
	}
	for _, sql := range []string{"DELETE FROM diary", "SELECT * FROM secrets", "SELECT create_day_partition('diary', '2024-03-09')"} {
		if _, err := cdc.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s as the log's reader: %v", sql, err)
		}
	}

	// A privilege that a later version does not grant any more is revoked.
	less := diary()
	less.Grants[0].App, less.Grants[0].CDC = "SELECT", ""
	if err := postgres.Job(t.Context(), postgres.Config{URL: s.MigratorURL}, s.Roles, less); err != nil {
		t.Fatal(err)
	}
	for sql, pool := range map[string]*pgxpool.Pool{"UPDATE diary SET done = true": app, "SELECT * FROM diary": cdc} {
		if _, err := pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s after it was taken back: %v", sql, err)
		}
	}
}

func TestMigrationsWait(t *testing.T) {
	t.Parallel()
	s := pgtest.NewSeparate(t, diary())
	app := open(t, s.AppURL)
	l := postgres.NewLifecycle(s.AppURL, app, slog.Default(), nil, []postgres.Component{diary()}, postgres.Upkeep{})
	l.Mode = postgres.MigrationsWait
	done := make(chan error, 1)
	go func() { done <- l.Migrate(t.Context()) }()
	says := func(reason string) {
		t.Helper()
		kafkatest.Eventually(t, reason, func() bool {
			err := l.Ready(t.Context())
			return err != nil && strings.HasSuffix(err.Error(), reason)
		})
	}
	says("waits for migrations: partitions 0 of 1")
	first := diary()
	first.FS = component("", `CREATE TABLE diary (id uuid NOT NULL, done boolean NOT NULL DEFAULT false, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE diary_default PARTITION OF diary DEFAULT;`).FS
	first.Grants = first.Grants[:1]
	if err := postgres.Job(t.Context(), postgres.Config{URL: s.MigratorURL}, s.Roles, first); err != nil {
		t.Fatal(err)
	}
	says("waits for migrations: diary 1 of 2")
	newer := diary() // than this program
	newer.FS = component("", `SELECT 1;`, `CREATE TABLE secrets (n int);`, `CREATE TABLE later (n int);`).FS
	if err := postgres.Job(t.Context(), postgres.Config{URL: s.MigratorURL}, s.Roles, newer); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
