package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres/server"
)

func fakeBinaries(t *testing.T, version string) string {
	dir := t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + " (Some Vendor)'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMajor(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"15.9": 15, "17beta1": 17, "9.6.24": 9} {
		got, err := server.Major(t.Context(), fakeBinaries(t, version))
		if err != nil || got != want {
			t.Errorf("major version of %s: %d, %v; want %d", version, got, err, want)
		}
	}
	if _, err := server.Major(t.Context(), t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty folder: %v, want os.ErrNotExist", err)
	}
	if _, err := server.Major(t.Context(), fakeBinaries(t, "unknown")); err == nil {
		t.Error("an unreadable version was accepted")
	}
}

func TestFindBinariesTakesPathFirst(t *testing.T) {
	dir := fakeBinaries(t, "99.1")
	t.Setenv("PATH", dir)
	got, err := server.FindBinaries(t.Context())
	if err != nil || got != dir {
		t.Errorf("got %q, %v; want %q", got, err, dir)
	}
}

func TestFindBinariesPassesOverOldOnes(t *testing.T) {
	dir := fakeBinaries(t, "14.1")
	t.Setenv("PATH", dir)
	got, err := server.FindBinaries(t.Context())
	if got == dir {
		t.Error("took version 14")
	}
	if err != nil && (!errors.Is(err, server.ErrNotFound) || !strings.Contains(err.Error(), "version 14")) {
		t.Errorf("got %v, want ErrNotFound that names the old version", err)
	}
}

func TestInitDBNamesTheFolderThatIsClosed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	err := server.InitDB(t.Context(), "/nonexistent", filepath.Join(closed, "data"), "admin", "")
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+closed) {
		t.Errorf("got %v, want it to name %s", err, closed)
	}
}

func TestTemporaryServerStopsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	bin, err := server.FindBinaries(t.Context())
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.StartTemporary(t.Context(), bin, "work_mem=5MB")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), srv.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var dir, mem string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('data_directory'), current_setting('work_mem')").Scan(&dir, &mem); err != nil {
		t.Fatal(err)
	}
	if mem != "5MB" {
		t.Errorf("work_mem is %s, want the setting given", mem)
	}
	if err := srv.Stop(); err != nil {
		t.Error(err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the server still answers")
	}
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestTemporaryServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	bin, err := server.FindBinaries(t.Context())
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = server.StartTemporary(t.Context(), bin, "no_such_setting=1")
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want the server's own words", err)
	}
}
