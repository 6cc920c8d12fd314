package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres/server"
)

// poolerPort is part of the socket's name; no process listens on TCP.
const poolerPort = 6432

// Pooler runs PgBouncer in the given pool mode ("session", "transaction" or "statement"), in front
// of the server of the URLs that NewURL returns. It returns a function that changes such a URL to
// one of the pooler. The pooler has two of the server's sessions for each database, so that
// transactions of more than two clients change sessions. Without PgBouncer the test is skipped;
// .ci/run installs it.
func Pooler(t testing.TB, mode string) (through func(direct string) string) {
	t.Helper()
	program, err := findPooler()
	if err != nil {
		t.Skipf("this test needs PgBouncer: %v", err)
	}
	u, err := url.Parse(NewURL(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bouncer-") // the server's user cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	host, port := u.Query().Get("host"), u.Query().Get("port")
	if host == "" {
		host, port = u.Hostname(), u.Port()
	}
	backend := "host=" + host + " user=" + u.User.Username()
	if port != "" {
		backend += " port=" + port
	}
	if password, ok := u.User.Password(); ok {
		backend += " password=" + password
	}
	config := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = %s\n[pgbouncer]\nlisten_port = %d\nunix_socket_dir = %s\nauth_type = any\npool_mode = %s\ndefault_pool_size = 2\nlogfile = %s\n",
		backend, poolerPort, dir, mode, filepath.Join(dir, "log"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Own(dir); err != nil {
		t.Fatal(err)
	}
	user, err := server.Credential()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--quiet", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it has ended then
		cmd.Wait()         //nolint:errcheck // it was killed
	})
	through = func(direct string) string {
		u, err := url.Parse(direct)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("host", dir)
		q.Set("port", fmt.Sprint(poolerPort))
		u.Host, u.RawQuery = "", q.Encode()
		return u.String()
	}
	url := through(u.String())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(setupTimeout); ; <-tick.C {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			conn.Close(t.Context())
			return through
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, log)
		}
	}
}

// findPooler looks in $PATH, and in Debian's folder of system programs.
func findPooler() (string, error) {
	program, err := exec.LookPath("pgbouncer")
	if errors.Is(err, exec.ErrNotFound) {
		return exec.LookPath("/usr/sbin/pgbouncer")
	}
	return program, err
}
