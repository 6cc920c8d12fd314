// Package server finds PostgreSQL server binaries on this machine and runs
// them as an unprivileged user.
//
// It guarantees that a server is never started as root: when the calling
// process is root, initdb and postgres run as the user postgres, or nobody
// when there is no such user, and the data folder belongs to that user.
//
// It does not install anything, it does not manage upgrades, and it runs on Unix only. It fails
// with [ErrNotFound] when no usable binaries exist, and otherwise with the last lines that the
// server itself printed.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MinMajor is the oldest major version the SQL of this project runs on.
const MinMajor = 15

// ErrNotFound means that no server binaries of version [MinMajor] or later were found. The wrapping
// error lists the places that were searched.
var ErrNotFound = errors.New("no PostgreSQL server binaries found")

// FindBinaries returns the folder that contains initdb and postgres of version [MinMajor] or later.
// It looks in $PATH, at pg_config --bindir, and in the folders that packages of common systems use,
// newest version first. The error matches [ErrNotFound].
func FindBinaries(ctx context.Context) (dir string, err error) {
	var tried []string
	for _, dir := range candidates(ctx) {
		major, err := Major(ctx, dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			tried = append(tried, dir)
		case err != nil:
			tried = append(tried, fmt.Sprintf("%s (%v)", dir, err))
		case major < MinMajor:
			tried = append(tried, fmt.Sprintf("%s (version %d)", dir, major))
		default:
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: version %d or later wanted, searched $PATH, pg_config and %s",
		ErrNotFound, MinMajor, strings.Join(tried, ", "))
}

// Major returns the major version of the postgres binary in dir. The error
// matches os.ErrNotExist when initdb or postgres is missing there.
func Major(ctx context.Context, dir string) (int, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0, err
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask for the version: %w", err)
	}
	// "postgres (PostgreSQL) 15.9 (Debian …)", or "17beta1" before a release.
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("unexpected version output %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

func candidates(ctx context.Context) []string {
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		// $PATH may contain a link to the real folder, and initdb looks for postgres beside its own
		// real file.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		add(filepath.Dir(path))
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		add(strings.TrimSpace(string(out)))
	}
	var packaged []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // PGDG packages for Red Hat
		"/usr/libexec/postgresql*",           // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew, Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew, Intel
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the patterns are constant and valid
		packaged = append(packaged, found...)
	}
	number := regexp.MustCompile(`\d+`)
	slices.SortStableFunc(packaged, func(a, b string) int {
		x, _ := strconv.Atoi(number.FindString(a))
		y, _ := strconv.Atoi(number.FindString(b))
		return y - x
	})
	for _, dir := range packaged {
		add(dir)
	}
	if len(dirs) == 0 {
		add("/usr/lib/postgresql/*/bin")
	}
	return dirs
}
