package operator_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
)

// door is a version whose table is doors; no test feeds it.
func door(number int, base bool) projection.Version[int] {
	return projection.Version[int]{
		Projection: "doors", Number: number, Base: base, Tables: []string{"doors"},
		Fold:        func([]projection.Event[int]) (projection.Rows, error) { return nil, nil },
		Comparisons: []projection.Comparison{{Name: "all", Query: `SELECT door, opened FROM doors`}},
		Differences: []string{"version 2 is newer"},
	}
}

// withProjections returns the API of a service with two versions of doors. Both are fed, one is live.
func withProjections(t *testing.T) (f *fixture, handler http.Handler) {
	t.Helper()
	f = newFixture(t)
	tables := func(name, schema string) postgres.Component {
		sql := "-- +goose Up\nCREATE SCHEMA IF NOT EXISTS " + schema + ";\nCREATE TABLE " + schema + ".doors (door text, opened int);\n"
		return postgres.Component{Name: name, FS: fstest.MapFS{"1_doors.sql": {Data: []byte(sql)}}}
	}
	f.pool = pgtest.NewDB(t, outbox.Component(), retry.Component(), position.Component(), projection.Component(),
		tables("doors", "public"), tables("doors_v2", "doors_v2"))
	set, err := projection.New(projection.Config[int]{
		Group: "doors", Pool: f.pool, Versions: []projection.Version[int]{door(1, true), door(2, false)},
		Base: func(context.Context, pgx.Tx, []projection.Event[int]) ([]projection.Event[int], error) {
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO projection_versions (projection, version, state, attached) VALUES ('doors', 1, 'live', true), ('doors', 2, 'following', true)`,
		`INSERT INTO doors VALUES ('a', 1), ('b', 2)`, `INSERT INTO doors_v2.doors VALUES ('a', 1), ('c', 3)`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	cfg := f.config()
	cfg.Registerer, cfg.Projections = prometheus.NewRegistry(), set.Control
	cfg.Logger = slog.New(slog.NewJSONHandler(f.log, nil))
	if handler, err = operator.Handler(cfg); err != nil {
		t.Fatal(err)
	}
	return f, handler
}

func TestProjections(t *testing.T) {
	t.Parallel()
	type version struct {
		Version               int
		State                 string
		Known, Attached       bool
		Done, Total, Failures int64
		Differences           []string
	}
	type versions struct{ Versions []version }
	f, h := withProjections(t)
	all := as[versions](f.doWith(h, "GET", "/projections", ""), 200).Versions
	if len(all) != 2 || all[0].State != "live" || all[1].State != "following" || !all[1].Known || !all[1].Attached || len(all[1].Differences) != 1 {
		t.Errorf("listed %+v", all)
	}
	f.doWith(h, "GET", "/projections/windows", "").refused(404, "", "there is no projection")
	type diff struct {
		Live, Other int
		Declared    []string
		Compared    []struct {
			Rows, Differences int
			Examples          []struct{ Key, Live, Other string }
		}
	}
	d := as[diff](f.doWith(h, "GET", "/projections/doors/diff", ""), 200)
	if d.Live != 1 || d.Other != 2 || len(d.Declared) != 1 || d.Compared[0].Rows != 3 || d.Compared[0].Differences != 2 || d.Compared[0].Examples[0].Live != "2" {
		t.Errorf("difference %+v", d)
	}
	f.doWith(h, "POST", "/projections/doors/switch", `{}`).refused(409, "", "differs from the live version in 2 rows")
	if v := as[version](f.doWith(h, "POST", "/projections/doors/switch", `{"version":2,"force":true}`), 200); v.State != "live" {
		t.Errorf("switched %+v", v)
	}
	f.doWith(h, "POST", "/projections/doors/drop", `{"version":2}`).refused(409, "", "is live; switch to another version first")
	f.doWith(h, "POST", "/projections/doors/rebuild", `{"version":1}`).refused(409, "", "tables of an earlier release")
	if v := as[version](f.doWith(h, "POST", "/projections/doors/drop", `{}`), 200); v.State != "dropped" || v.Version != 1 {
		t.Errorf("dropped %+v", v)
	}
	var left int
	if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM doors`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left (%v)", left, err)
	}
	if log := strings.Join(f.log.lines(), "\n"); !strings.Contains(log, `"projection":"doors"`) || !strings.Contains(log, `"operator":"ada"`) {
		t.Errorf("log %s", log)
	}
}

// TestNoProjections: a service without read models lists none.
func TestNoProjections(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := as[struct{ Versions []any }](f.do("GET", "/projections", ""), 200); got.Versions == nil || len(got.Versions) != 0 {
		t.Errorf("%+v", got)
	}
	f.do("POST", "/projections/doors/drop", `{}`).refused(404, "", "has no projections")
}
