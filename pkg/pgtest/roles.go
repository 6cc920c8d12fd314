package pgtest

import (
	"context"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
)

// Separate is a database with separate roles as in production: one owns it, one migrates as the
// owner, one is the service's, one reads the log.
type Separate struct {
	Roles                       postgres.Roles
	MigratorURL, AppURL, CDCURL string

	admin *pgxpool.Pool // a superuser's, of this database
	comps []postgres.Component
}

// NewSeparate creates the roles and an empty database for them; [Separate.Migrate] fills it. All of
// them are dropped at the end of the test.
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
	t.Cleanup(func() { // runs before NewURL's cleanup, so it drops the database here
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

// Migrate runs the migration job that services wait for.
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

// NoRoom ends the service's connections and prevents new ones while f runs.
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

// Cut ends the service's connections in the middle of a statement while f runs, as the restart of a
// server does: a lock on all tables makes each statement wait, and Cut ends the waiting backend.
func (s *Separate) Cut(t testing.TB, f func()) {
	t.Helper()
	holder, err := s.admin.Begin(context.Background())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	// The pool's limit for idle transactions would release the locks before a slow f ends.
	_, err = holder.Exec(context.Background(), `DO $$ DECLARE one regclass; BEGIN
		SET LOCAL idle_in_transaction_session_timeout = 0;
		FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', one);
		END LOOP; END $$`)
	if err != nil {
		t.Fatalf("lock all tables: %v", err)
	}
	over, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				ended <- nil
				return
			case <-tick.C:
			}
			_, err := s.admin.Exec(context.Background(),
				`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'`, s.Roles.App)
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	defer func() {
		close(over)
		if err := <-ended; err != nil {
			t.Errorf("end the connections that wait: %v", err)
		}
		if err := holder.Rollback(context.Background()); err != nil {
			t.Errorf("unlock all tables: %v", err)
		}
	}()
	f()
}

// Check fails the test for a table of the database that no component's Grants name, and for a
// privilege that the service's role should not have.
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
	tables, views, sequences := s.relations(t, "r", "p", "v", "m", "f"), s.relations(t, "v", "m"), s.relations(t, "S")
	granted := map[string]string{}
	var days []string
	for _, c := range postgres.WithPartitions(s.comps) {
		granted[c.Name+"_migrations"] = "SELECT"
		for _, g := range c.Grants {
			table := g.Table
			if c.Schema != "" {
				table = c.Schema + "." + table
			}
			granted[table] = g.App
			switch {
			case slices.Contains(sequences, table): // it may be read, and a default may draw from it
				refused("ALTER SEQUENCE " + pgx.Identifier(strings.Split(table, ".")).Sanitize() + " RESTART")
				refused("SELECT setval('" + table + "', 1)")
				if !strings.Contains(g.App, "USAGE") {
					refused("SELECT nextval('" + table + "')")
				}
			case !slices.Contains(tables, table):
				t.Errorf("component %s grants on %s, which is not there", c.Name, table)
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
		id := pgx.Identifier(strings.Split(table, ".")).Sanitize()
		refused("ALTER TABLE " + id + " ADD COLUMN mine int")
		if slices.Contains(views, table) {
			refused("DROP VIEW " + id)
		} else {
			refused("DROP TABLE " + id)
			refused("TRUNCATE " + id)
			refused("CREATE INDEX ON " + id + " ((1))")
		}
		for privilege, sql := range map[string]string{
			"INSERT": "INSERT INTO " + id + " DEFAULT VALUES", "DELETE": "DELETE FROM " + id, "SELECT": "SELECT * FROM " + id,
		} {
			if strings.Contains(privileges, privilege) || privilege != "SELECT" && s.computed(t, id) {
				continue // a view of sums takes no rows from any role
			}
			refused(sql)
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
	if len(days) > 0 { // tables that are not registered
		refused("SELECT create_day_partition('partitions_migrations', '2024-03-01')")
		refused("SELECT drop_day_partition('partitions_migrations', '2024-03-01', now())")
	}
}

// computed reports whether a relation is a view that no statement can write to.
func (s *Separate) computed(t testing.TB, id string) bool {
	t.Helper()
	var view, updatable bool
	err := s.admin.QueryRow(t.Context(), `SELECT relkind = 'v', pg_relation_is_updatable(oid, false) <> 0 FROM pg_class WHERE oid = $1::regclass`, id).
		Scan(&view, &updatable)
	if err != nil {
		t.Fatal(err)
	}
	return view && !updatable
}

// relations returns the names of the database's relations of some kinds; see pg_class.relkind. Names
// outside the schema public begin with their schema.
func (s *Separate) relations(t testing.TB, kinds ...string) []string {
	t.Helper()
	rows, err := s.admin.Query(t.Context(), `
		SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND c.relkind::text = ANY ($1) ORDER BY 1`, kinds)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}
