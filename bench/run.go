package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"eventshop.example/bench/database"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/local/lockfile"
)

// env is shared by the benchmarks of one run.
type env struct {
	options
	repo     string
	dir      string // temporary
	progress *report.Progress

	programs []*shop.Program // once they are built
	cleanup  []func() error
}

func (e *env) close() error {
	var err error
	for _, undo := range e.cleanup {
		err = errors.Join(err, undo())
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

// size returns the first number for a quick run, and the second otherwise.
func (e *env) size(quick, full int) int {
	if e.quick {
		return quick
	}
	return full
}

// shops builds the shop of this repository, and with --against that of another commit.
func (e *env) shops(ctx context.Context) ([]*shop.Program, error) {
	if e.programs != nil {
		return e.programs, nil
	}
	// The programs stay there, so that the next run has nothing to build.
	built := filepath.Join(e.repo, ".shop", "bench")
	if err := os.MkdirAll(built, 0o755); err != nil {
		return nil, err
	}
	e.progress.Step("waiting until no other run uses %s", built)
	lock, err := lockfile.Open(filepath.Join(built, "lock"), 0o644)
	if err != nil {
		return nil, err
	}
	e.cleanup = append(e.cleanup, lock.Close)
	roots := []struct{ name, dir string }{{report.Ours, e.repo}}
	if e.against != "" {
		dir := filepath.Join(e.dir, "worktree")
		remove, err := shop.Checkout(ctx, e.repo, e.against, dir)
		if err != nil {
			return nil, err
		}
		e.cleanup = append(e.cleanup, remove)
		roots = append(roots, struct{ name, dir string }{e.against, dir})
	}
	for _, root := range roots {
		e.progress.Step("building the shop command (%s)", root.name)
		p, err := shop.Build(ctx, root.name, root.dir, built, func(text string) { e.progress.Note("%s", text) })
		if err != nil {
			return nil, err
		}
		e.programs = append(e.programs, p)
	}
	return e.programs, nil
}

// run runs the chosen benchmarks. It shows and writes each result as soon as there is one.
func run(ctx context.Context, e *env, out io.Writer) error {
	conditions, err := e.conditions(ctx)
	if err != nil {
		return err
	}
	printConditions(out, conditions)
	began := time.Now()
	var results []*report.Result
	for _, b := range e.chosen() {
		r := report.New(b.name, b.about, report.Ours)
		err := b.run(ctx, e, r)
		e.progress.Clear()
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if err := report.Table(out, r); err != nil {
			return err
		}
		if err := report.Write(filepath.Join(e.repo, e.results), r, conditions); err != nil {
			return fmt.Errorf("write the result of %s: %w", b.name, err)
		}
		results = append(results, r)
	}
	fmt.Fprintf(out, "\n%d benchmarks in %.0f s; JSON and plots in %s\n", len(results), time.Since(began).Seconds(), e.results)
	if !e.quick {
		return nil
	}
	broken := report.Gate(limits(), results)
	for _, why := range broken {
		fmt.Fprintln(out, "over its limit:", why)
	}
	if len(broken) > 0 {
		return fmt.Errorf("%d limits do not hold (they are in bench/gate.go)", len(broken))
	}
	fmt.Fprintln(out, "all limits hold")
	return nil
}

// conditions describes the machine and how durable the database server is.
func (e *env) conditions(ctx context.Context) (report.Conditions, error) {
	c := report.Conditions{At: time.Now().UTC(), Quick: e.quick, Machine: machine()}
	out, err := exec.CommandContext(ctx, "git", "-C", e.repo, "describe", "--always", "--dirty").Output()
	if err == nil { // an exported tree has no commit
		c.Commit = strings.TrimSpace(string(out))
	}
	s, err := database.Start(ctx)
	if err != nil {
		return c, err
	}
	c.Settings, err = s.Settings(ctx)
	if !s.Counts() {
		c.Settings["pg_stat_statements"] = "missing: statements are not counted, and limits on them do not hold"
	}
	return c, errors.Join(err, s.Stop())
}

func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(b) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := ""
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 0 {
			load = ", load average " + fields[0] + " before the run"
		}
	}
	return fmt.Sprintf("%d cores (%s), %s/%s, %s%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version(), load)
}

func printConditions(out io.Writer, c report.Conditions) {
	fmt.Fprintf(out, "%s\ncommit %s\nPostgreSQL:", c.Machine, c.Commit)
	for _, name := range []string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level",
		"shared_buffers", "checkpoint_timeout", "data_checksums", "pg_stat_statements"} {
		if value, ok := c.Settings[name]; ok {
			fmt.Fprintf(out, " %s=%s", name, value)
		}
	}
	fmt.Fprintln(out)
}
