package postgres_test

import (
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestInitRoles runs the script of the containers on a server that requires passwords, twice and
// with other passwords the second time. Then the job works as its migrator, and the service's role
// as the service.
func TestInitRoles(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "psql"} {
		if _, err := osexec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	admin, urlOf := pgtest.Strict(t, "first", "app")
	u, err := url.Parse(urlOf("app"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	put := func(role, password string) { // with a line end that some readers keep
		t.Helper()
		if err := os.WriteFile(filepath.Join(secrets, "order_"+role+"_password"), []byte(password+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := func(service string) (string, error) {
		cmd := osexec.CommandContext(t.Context(), "bash", "../../deploy/postgres/init-roles.sh")
		cmd.Env = append(os.Environ(), "SERVICE="+service, "SECRETS_DIR="+secrets, "PGHOST="+u.Query().Get("host"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := script("order"); err == nil || !strings.Contains(out, "order_migrator_password is missing") {
		t.Errorf("without passwords: %v, %s", err, out)
	}
	if out, err := script("x; DROP"); err == nil || !strings.Contains(out, "SERVICE must be") {
		t.Errorf("bad name: %v, %s", err, out)
	}
	for _, password := range []string{"first", `it's "new" \ $HOME`} {
		for _, role := range []string{"migrator", "app", "cdc"} {
			put(role, password)
		}
		if out, err := script("order"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	of := func(role string) postgres.Config {
		v := *u
		v.User, v.Path = url.User("order_"+role), "/order"
		return postgres.Config{URL: v.String(), PasswordFile: filepath.Join(secrets, "order_"+role+"_password")}
	}
	roles := postgres.Roles{Owner: "order_owner", App: "order_app", CDC: "order_cdc"}
	if err := postgres.Job(t.Context(), of("migrator"), roles, diary()); err != nil {
		t.Fatal(err)
	}
	app := openPool(t, of("app"))
	if err := postgres.EnsurePartitions(t.Context(), app, "diary", noon, noon); err != nil {
		t.Error(err)
	}
	for sql, pool := range map[string]postgres.Config{
		"CREATE TABLE mine (n int)": of("app"), "SET ROLE order_owner": of("app"), "DROP TABLE diary": of("cdc"), "CREATE ROLE mine": of("migrator"),
	} {
		if _, err := openPool(t, pool).Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v, want it refused", sql, err)
		}
	}
	var got string
	err = admin.QueryRow(t.Context(), `SELECT string_agg(rolname || ' ' || rolcanlogin || ' ' || rolreplication || ' ' || rolsuper, ', ' ORDER BY rolname)
		FROM pg_roles WHERE rolname LIKE 'order\_%'`).Scan(&got)
	want := "order_app true false false, order_cdc true true false, order_migrator true false false, order_owner false false false"
	if err != nil || got != want {
		t.Errorf("roles (login, replication, superuser): %s, %v; want %s", got, err, want)
	}
}
