package pgtest

import (
	"context"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// Separate is a database whose roles are apart as in production: one owns it, one
// migrates as the owner, one is the service's, one reads the log.
type Separate struct {
	Roles                       postgres.Roles
	MigratorURL, AppURL, CDCURL string

	admin *pgxpool.Pool // a superuser's, of this database
	comps []postgres.Component
}

// NewSeparate makes the roles and an empty database of theirs; [Separate.Migrate] fills it.
// All is dropped at the end of the test.
func NewSeparate(t testing.TB, comps ...postgres.Component) *Separate {
	t.Helper()
	adminURL := NewURL(t)
	u, err := url.Parse(adminURL)
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	prefix := "r" + hex.EncodeToString(newID()[:6])
	s := &Separate{Roles: postgres.Roles{Owner: prefix + "_owner", App: prefix + "_app", CDC: prefix + "_cdc"}, comps: comps}
	migrator := prefix + "_migrator"
	srv, err := instance()
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := srv.admin.Exec(context.Background(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	exec("CREATE ROLE " + s.Roles.Owner)
	exec("CREATE ROLE " + migrator + " LOGIN PASSWORD 'test' IN ROLE " + s.Roles.Owner)
	exec("CREATE ROLE " + s.Roles.App + " LOGIN PASSWORD 'test'")
	exec("CREATE ROLE " + s.Roles.CDC + " LOGIN REPLICATION PASSWORD 'test'")
	exec("ALTER DATABASE " + database + " OWNER TO " + s.Roles.Owner)
	t.Cleanup(func() { // before NewURL's, so the database goes here
		exec("DROP DATABASE " + database + " WITH (FORCE)")
		exec("DROP ROLE " + strings.Join([]string{migrator, s.Roles.App, s.Roles.CDC, s.Roles.Owner}, ", "))
	})
	as := func(role string) string {
		v := *u
		v.User = url.UserPassword(role, "test")
		return v.String()
	}
	s.MigratorURL, s.AppURL, s.CDCURL = as(migrator), as(s.Roles.App), as(s.Roles.CDC)
	if s.admin, err = postgres.Open(context.Background(), postgres.Config{URL: adminURL, MaxConns: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.admin.Close)
	return s
}

// Migrate runs the job that services wait for.
func (s *Separate) Migrate(t testing.TB) {
	t.Helper()
	if err := postgres.Job(t.Context(), postgres.Config{URL: s.MigratorURL}, s.Roles, s.comps...); err != nil {
		t.Fatal(err)
	}
}

// App returns a pool of the service's role.
func (s *Separate) App(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Config{URL: s.AppURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// NoRoom ends the service's connections and lets it have no other while f runs.
func (s *Separate) NoRoom(t testing.TB, f func()) {
	t.Helper()
	exec := func(sql string) {
		t.Helper()
		if _, err := s.admin.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("ALTER ROLE " + s.Roles.App + " CONNECTION LIMIT 0")
	defer exec("ALTER ROLE " + s.Roles.App + " CONNECTION LIMIT -1")
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + s.Roles.App + "'")
	f()
}

// Check tells which table of the database no component's Grants name, and what the
// service's role can do although it should not.
func (s *Separate) Check(t testing.TB) {
	t.Helper()
	app, err := pgx.Connect(t.Context(), s.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(context.Background())
	refused := func(sql string) {
		t.Helper()
		if _, err := app.Exec(t.Context(), sql); !isState(err, "42501") {
			t.Errorf("%s as the service's role: %v, want insufficient_privilege", sql, err)
		}
	}
	rows, err := s.admin.Query(t.Context(), `SELECT relname FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]string{}
	var days []string
	for _, c := range postgres.WithPartitions(s.comps) {
		granted[c.Name+"_migrations"] = "SELECT"
		for _, g := range c.Grants {
			granted[g.Table] = g.App
			if !slices.Contains(tables, g.Table) {
				t.Errorf("component %s grants on %s, which is not there", c.Name, g.Table)
			}
		}
		for _, p := range c.Partitioned {
			days = append(days, p.Table)
		}
	}
	for _, table := range tables {
		privileges, ok := granted[table]
		for _, parent := range days {
			if strings.HasPrefix(table, parent+"_p2") || table == parent+"_default" && !ok {
				privileges, ok = "SELECT", true
			}
		}
		if !ok {
			t.Errorf("no component's Grants name the table %s", table)
			continue
		}
		id := pgx.Identifier{table}.Sanitize()
		refused("ALTER TABLE " + id + " ADD COLUMN mine int")
		refused("DROP TABLE " + id)
		refused("TRUNCATE " + id)
		refused("CREATE INDEX ON " + id + " ((1))")
		for privilege, sql := range map[string]string{
			"INSERT": "INSERT INTO " + id + " DEFAULT VALUES", "DELETE": "DELETE FROM " + id, "SELECT": "SELECT * FROM " + id,
		} {
			if !strings.Contains(privileges, privilege) {
				refused(sql)
			}
		}
		var updates bool
		if err := app.QueryRow(t.Context(), `SELECT has_any_column_privilege($1, 'UPDATE')`, id).Scan(&updates); err != nil {
			t.Fatal(err)
		}
		if updates != strings.Contains(privileges, "UPDATE") {
			t.Errorf("%s: may update: %t, granted: %q", table, updates, privileges)
		}
	}
	for _, sql := range []string{
		"CREATE TABLE public.mine (n int)", "CREATE SCHEMA mine", "SET ROLE " + s.Roles.Owner, "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN 1",
		"CREATE PUBLICATION mine",
	} {
		refused(sql)
	}
	if len(days) > 0 { // tables that nobody registered
		refused("SELECT create_day_partition('partitions_migrations', '2024-03-01')")
		refused("SELECT drop_day_partition('partitions_migrations', '2024-03-01', now())")
	}
}
