package pgtest

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// Binaries returns the folder of the server's programs, for tests that start their own servers.
// Without them it skips the test, except in CI.
func Binaries(t testing.TB) string {
	t.Helper()
	bin, err := server.FindBinaries(t.Context())
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skipf("this test needs PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Strict runs a server of the test's own that requires a password from every role except postgres.
// For each name it has a role, and a database that the role owns. The URLs contain no password.
func Strict(t testing.TB, password string, names ...string) (admin *pgxpool.Pool, urlOf func(name string) string) {
	t.Helper()
	bin := Binaries(t)
	dir, err := os.MkdirTemp("", "hba-") // the server's user cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	hba := filepath.Join(dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all postgres trust\nlocal all all scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Own(dir); err != nil {
		t.Fatal(err)
	}
	srv, err := server.StartTemporary(t.Context(), bin, "hba_file="+hba)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	if admin, err = postgres.Open(t.Context(), postgres.Config{URL: srv.URL("postgres")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	for _, name := range names {
		for _, sql := range []string{
			`CREATE ROLE "` + name + `" LOGIN PASSWORD '` + password + `'`,
			`CREATE DATABASE "` + name + `" OWNER "` + name + `"`,
		} {
			if _, err := admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	return admin, func(name string) string {
		u, err := url.Parse(srv.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User(name)
		return u.String()
	}
}
