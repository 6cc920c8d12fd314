package postgres_test

import (
	"errors"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// TestWraparoundStop: a real server that has run out of transaction ids. It answers reads and
// every write with 54000, the state of a value too large for its index.
func TestWraparoundStop(t *testing.T) {
	t.Parallel()
	bin := pgtest.Binaries(t)
	dir, err := os.MkdirTemp("", "wrap-") // the server's user cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := server.Own(dir); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := server.InitDB(t.Context(), bin, data, "postgres", "", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}, "sslmode": {"disable"}}.Encode()}

	stop := startServer(t, bin, data, dir)
	if err := postgres.Migrate(t.Context(), u.String(), diary()); err != nil {
		t.Fatal(err)
	}
	stop()
	// Two thousand million transactions after the oldest unfrozen one.
	user, err := server.Credential()
	if err != nil {
		t.Fatal(err)
	}
	reset := osexec.Command(filepath.Join(bin, "pg_resetwal"), "-x", "2146483647", "-D", data)
	reset.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if out, err := reset.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	segment := filepath.Join(data, "pg_xact", "07FF") // where that transaction's state is kept
	if err := os.WriteFile(segment, make([]byte, 256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Own(segment); err != nil {
		t.Fatal(err)
	}
	startServer(t, bin, data, dir)

	pools, _ := openPools(t, u.String())
	insert := func() error {
		return postgres.InTx(t.Context(), pools.Writes, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO diary (id) VALUES (gen_random_uuid())")
			return err
		})
	}
	kafkatest.Eventually(t, "the server to answer", func() bool { return postgres.State(insert()) == "54000" })
	err = insert()
	if errs.KindOf(err) == errs.Transient || !postgres.InDoubt(err) {
		t.Errorf("kind %v of %v: by its state alone it is in doubt", errs.KindOf(err), err)
	}
	if err := postgres.Settle(t.Context(), pools.Writes, err); errs.KindOf(err) != errs.Transient {
		t.Errorf("kind %v of %v, want Transient", errs.KindOf(err), err)
	}
	l := postgres.NewLifecycle(u.String(), pools.Work, quiet, nil, []postgres.Component{diary()})
	l.Mode, l.Pools = postgres.MigrationsWait, pools
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "wraparound") {
		t.Errorf("readiness says %v, want the server's reason", err)
	}
}

// startServer runs the cluster until the end of the test, or until stop.
func startServer(t *testing.T, bin, data, dir string) (stop func()) {
	t.Helper()
	cmd, err := server.Command(bin, data, 0, "unix_socket_directories="+dir, "fsync=off", "shared_buffers=16MB", "max_connections=50", "autovacuum=off")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		kill := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	return stop
}
