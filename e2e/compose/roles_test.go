package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// connect logs in at a service's database with the role's demo password.
func (s *shop) connect(service, role string) *pgx.Conn {
	s.t.Helper()
	password, err := os.ReadFile(filepath.Join(filepath.Dir(s.file), "secrets", role+"_password"))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := pgx.Connect(s.t.Context(), fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s", role, strings.TrimSpace(string(password)),
		s.port["POSTGRES_"+strings.ToUpper(service)+"_PORT"], service))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// sessions checks that only the service's own role is connected to its database.
func (s *shop) sessions(service string) {
	s.t.Helper()
	c := s.connect(service, "postgres")
	defer c.Close(s.t.Context())
	rows, err := c.Query(s.t.Context(), `SELECT DISTINCT usename::text FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	if err != nil {
		s.t.Fatal(err)
	}
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(roles, []string{service + "_app"}) {
		s.t.Errorf("%s is logged in as %v: %v", service, roles, err)
	}
}

// refuses checks what the role of a service must not be able to do.
func (s *shop) refuses(service string) {
	s.t.Helper()
	c := s.connect(service, service+"_app")
	defer c.Close(s.t.Context())
	forbidden := []string{`ALTER TABLE outbox ADD COLUMN x int`, `DROP TABLE inbox`, `CREATE TABLE t (x int)`, `DELETE FROM outbox`, `TRUNCATE outbox`}
	if service == "order" {
		forbidden = append(forbidden, `UPDATE events SET version = version`, `DELETE FROM events`)
	}
	for _, sql := range forbidden {
		if _, err := c.Exec(s.t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			s.t.Errorf("%s as %s_app: %v, want permission denied", sql, service, err)
		}
	}
}
