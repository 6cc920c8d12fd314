package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func notes() postgres.Component {
	return postgres.Component{Name: "notes", FS: fstest.MapFS{"1_notes.sql": {Data: []byte(
		"-- +goose Up\nCREATE TABLE notes (text text);\n")}}}
}

func TestDatabasesAreSeparateCopiesOfTheMigratedTemplate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one, two := pgtest.NewDB(t, notes()), pgtest.NewDB(t, notes())
	if _, err := one.Exec(ctx, "INSERT INTO notes VALUES ('only here')"); err != nil {
		t.Fatal(err)
	}
	var count int
	if err := two.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&count); err != nil {
		t.Fatal(err)
	}
	if count != 0 {
		t.Errorf("the second database has %d notes, want 0", count)
	}
}

func TestDatabaseIsDroppedAtTheEndOfTheTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("use a database", func(t *testing.T) {
		db := pgtest.NewDB(t, notes())
		if err := db.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	var exists bool
	err := pgtest.NewDB(t).QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("database %s is still there", name)
	}
}

// TestServerEndsWithTheKilledProcess runs this binary again, as a process that starts a server,
// prints its folder, and is killed.
func TestServerEndsWithTheKilledProcess(t *testing.T) {
	const child = "PGTEST_CHILD"
	if os.Getenv(child) != "" {
		var dir string
		if err := pgtest.NewDB(t).QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("data directory: " + dir + "\n")
		select {} // until killed
	}
	if os.Getenv(pgtest.ServerURLVariable) != "" {
		t.Skip("the server is not ours to stop: " + pgtest.ServerURLVariable + " is set")
	}
	pgtest.NewURL(t) // skips here when there are no binaries
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestServerEndsWithTheKilledProcess$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "data directory: ")
		if !filepath.IsAbs(dir) {
			dir = ""
		}
	}
	if dir == "" {
		t.Fatal("the child started no server")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the error is that it was killed
	kafkatest.Eventually(t, "the folder of the killed process's server to go", func() bool {
		_, err := os.Stat(filepath.Dir(dir))
		return errors.Is(err, fs.ErrNotExist)
	})
}
