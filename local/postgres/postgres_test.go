package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/pkg/postgres/server"
)

// binaries finds a server on this machine; tests do not download.
func binaries(t *testing.T) string {
	t.Helper()
	dir, err := server.FindBinaries(t.Context())
	if errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

type running struct {
	*postgres.Cluster
	process.Runner
	spec  process.Spec
	admin string
	urls  map[string]string
}

func (r *running) start(t *testing.T) {
	t.Helper()
	if _, err := r.Start(r.spec); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := r.AwaitReady(ctx, "postgres", func(ctx context.Context) error { return postgres.Ping(ctx, r.admin) })
	if err != nil {
		t.Fatal(err)
	}
	if r.urls, err = r.Provision(ctx, r.admin, true, "order", "payment"); err != nil {
		t.Fatal(err)
	}
}

func setup(t *testing.T) *running {
	t.Helper()
	bin, dir := binaries(t), t.TempDir()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	c, err := postgres.OpenCluster(filepath.Join(dir, "pg"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Wipe(filepath.Join(dir, "pg")); err != nil {
			t.Error(err)
		}
	})
	if err := c.Init(t.Context(), bin); err != nil {
		t.Fatal(err)
	}
	r := &running{Cluster: c, Runner: process.Runner{Dir: filepath.Join(dir, "run")}}
	if r.spec, err = c.Spec(bin, port, filepath.Join(dir, "postgres.log")); err != nil {
		t.Fatal(err)
	}
	if r.admin, err = c.AdminURL(port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := r.Stop(context.Background(), "postgres", 20*time.Second); err != nil {
			t.Error(err)
		}
	})
	r.start(t)
	return r
}

func exec(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql)
	return err
}

func TestEachRoleHasItsOwnDatabaseAndNoOther(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := exec(t, r.urls["order"], `CREATE TABLE mine (id int)`); err != nil {
		t.Errorf("the owner cannot create a table: %v", err)
	}
	for _, database := range []string{"payment", "postgres", "template1"} {
		u, err := url.Parse(r.urls["order"])
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + database
		if err := exec(t, u.String(), `SELECT 1`); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("order connects to %s: %v", database, err)
		}
	}
	for what, sql := range map[string]string{
		"create a database":  `CREATE DATABASE other`,
		"create a role":      `CREATE ROLE other`,
		"read server files":  `SELECT pg_read_file('PG_VERSION')`,
		"become a superuser": `ALTER ROLE "order" SUPERUSER`,
	} {
		if err := exec(t, r.urls["order"], sql); err == nil {
			t.Errorf("order can %s", what)
		}
	}
	wrong := strings.Replace(r.urls["order"], "order:", "order:x", 1)
	if err := exec(t, wrong, `SELECT 1`); err == nil {
		t.Error("a wrong password is as good")
	}
	var fsync string
	conn, err := pgx.Connect(t.Context(), r.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), `SHOW fsync`).Scan(&fsync); err != nil || fsync != "on" {
		t.Errorf("fsync is %q, %v", fsync, err)
	}
}

func TestDataSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := exec(t, r.urls["order"], `CREATE TABLE t AS SELECT generate_series(1, 100) AS n`); err != nil {
		t.Fatal(err)
	}
	before := r.urls["order"]
	if err := r.Kill(t.Context(), "postgres"); err != nil {
		t.Fatal(err)
	}
	again(t, r)
	if r.urls["order"] != before {
		t.Error("the URL has changed")
	}
	conn, err := pgx.Connect(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 100 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// again restarts a killed server. Its orphans may still run for a moment.
func again(t *testing.T, r *running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := postgres.Start(ctx, r.Runner, r.spec, r.admin); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.urls, err = r.Provision(ctx, r.admin, true, "order", "payment"); err != nil {
		t.Fatal(err)
	}
}

// If process 1 does not reap orphans, a killed server stays as a zombie, and PostgreSQL takes the
// zombie for a running server. Here the zombie is a child that this process does not wait for.
func TestTheZombieOfAKilledServerIsNoObstacle(t *testing.T) {
	t.Parallel()
	r := setup(t)
	if err := r.Kill(t.Context(), "postgres"); err != nil {
		t.Fatal(err)
	}
	zombie := osexec.Command("true")
	if r.spec.User != nil { // PostgreSQL would not take a process of another user for a server
		zombie.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: r.spec.User.UID, Gid: r.spec.User.GID}}
	}
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	lock := filepath.Join(r.Cluster.Dir, "data", "postmaster.pid")
	b, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	if err := os.WriteFile(lock, []byte(fmt.Sprintf("%d\n%s", zombie.Process.Pid, rest)), 0o600); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !process.Ended(zombie.Process.Pid) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	again(t, r)
}

func TestInterruptedInitdbIsDoneAgain(t *testing.T) {
	t.Parallel()
	bin, dir := binaries(t), filepath.Join(t.TempDir(), "pg")
	c, err := postgres.OpenCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Wipe(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Init(ctx, bin); err == nil {
		t.Fatal("initdb without time is done")
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "data.unfinished", "base"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.Init(t.Context(), bin); err != nil {
		t.Fatal(err)
	}
	if !server.Initialized(filepath.Join(c.Dir, "data")) {
		t.Error("no data")
	}
	info, err := os.Stat(filepath.Join(c.Dir, "passwords.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("passwords: %v %v", info.Mode(), err)
	}
}

func TestClosedParentMovesTheDataElsewhere(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as somebody else")
	}
	home := t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "pg")
	c, err := postgres.OpenCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Closed != home || !strings.HasPrefix(c.Dir, "/var/tmp/eventshop-") {
		t.Errorf("folder %s, closed %s", c.Dir, c.Closed)
	}
	again, err := postgres.OpenCluster(dir)
	if err != nil || again.Dir != c.Dir {
		t.Errorf("the second time: %v, %v", again, err)
	}
	if err := postgres.Wipe(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the wipe: %v", err)
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{"": true, "auto": true, "download": true, "postgres://u@h/d": true,
		"postgresql://h": true, "/usr/lib/pg": true, "mysql://h": false, "bin": false} {
		if _, err := postgres.ParseSource(in); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}
