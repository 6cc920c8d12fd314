package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Temporary is a temporary server: its data is not synced to disk, it listens on a Unix socket
// only, and it ends with the process that started it. [StartTemporary] creates it; only Stop
// changes it.
type Temporary struct {
	dir     string
	stdin   io.Closer
	watcher *exec.Cmd
}

// watch is the parent process of the server. It blocks on its standard input. The calling process
// has the other end: a normal exit, a crash and SIGKILL all close it. Then watch stops the server
// (SIGQUIT: at once, because no data must be kept) and removes its folder. The kernel's
// parent-death signal is not sufficient: it belongs to the thread that forked, which may end long
// before its process, and it cannot remove a folder. The file "ended" shows the caller that the
// server ended by itself. Its process id would not show that, because the id of a child that was
// not waited for yet still exists.
const watch = `dir=$1; shift
{
	/bin/sh -c 'echo $$ >"$0/pid"; exec "$@"' "$dir" "$@" </dev/null >"$dir/log" 2>&1
	: >"$dir/ended"
} &
read -r ignored
until [ -s "$dir/pid" ]; do sleep 0.1; done
[ -e "$dir/ended" ] || kill -QUIT "$(cat "$dir/pid")"
wait
cd / && rm -rf "$dir"`

// startTimeout bounds the start of a server, which takes about a second on an
// idle machine.
const startTimeout = time.Minute

// StartTemporary creates a cluster in a new folder under os.TempDir and starts a server on it that
// trusts the role postgres. It waits until the server answers, for a minute at most. settings are
// "name=value" pairs of postgresql.conf. When the calling process ends, for any reason, the server
// stops and the folder is removed.
func StartTemporary(ctx context.Context, binDir string, settings ...string) (*Temporary, error) {
	dir, err := os.MkdirTemp("", "pg-") // short: a socket's path has about 100 bytes
	if err != nil {
		return nil, fmt.Errorf("start a temporary server: %w", err)
	}
	t, err := startTemporary(ctx, binDir, dir, settings)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start a temporary server: %w", err)
	}
	return t, nil
}

func startTemporary(ctx context.Context, binDir, dir string, settings []string) (*Temporary, error) {
	if err := Own(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := InitDB(ctx, binDir, data, "postgres", "", "--no-sync"); err != nil {
		return nil, err
	}
	settings = append([]string{
		"unix_socket_directories=" + dir,
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", // no data outlives the process
		"max_connections=200", // parallel tests, each with its pool
		"shared_buffers=32MB", // several servers run at the same time
		"autovacuum_naptime=1h", "max_wal_size=1GB", "checkpoint_timeout=1h",
		"max_parallel_workers_per_gather=0", "jit=off", "wal_level=minimal", "max_wal_senders=0",
	}, settings...)
	pg, err := Command(binDir, data, 0, settings...)
	if err != nil {
		return nil, err
	}
	w, err := command(context.Background(), "/bin/sh", append([]string{"-c", watch, "sh", dir}, pg.Args...)...)
	if err != nil {
		return nil, err
	}
	// A session of its own: Ctrl-C in the terminal ends the caller, and the watcher must survive to
	// clean up. It inherits no output of the caller, because `go test` would wait for it.
	w.SysProcAttr.Setsid = true
	stdin, err := w.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := w.Start(); err != nil {
		return nil, err
	}
	t := &Temporary{dir: dir, stdin: stdin, watcher: w}
	if err := t.await(ctx); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, errors.Join(fmt.Errorf("%w: %s", err, tail(string(log))), t.Stop())
	}
	return t, nil
}

func (t *Temporary) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, t.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", err)
		case <-tick.C:
		}
		if _, serr := os.Stat(filepath.Join(t.dir, "ended")); serr == nil {
			return fmt.Errorf("the server ended: %w", err)
		}
	}
}

// URL returns the connection URL of a database of the server.
func (t *Temporary) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database,
		RawQuery: url.Values{"host": {t.dir}, "sslmode": {"disable"}}.Encode()}
	return u.String()
}

// Stop ends the server and removes its folder. The end of the process has the same effect, so
// calling it is optional.
func (t *Temporary) Stop() error {
	err := t.stdin.Close()
	if werr := t.watcher.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("stop the temporary server: %w", werr))
	}
	return err
}

// FreePort returns a TCP port of 127.0.0.1 that was free a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
