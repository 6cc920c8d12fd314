package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"eventshop.example/local/process"
)

// Start runs the server of the spec and waits until it answers.
//
// After a SIGKILL two things may prevent the start for a while: orphaned children of the old server
// that still use its shared memory, and the old server itself as a zombie that no process has
// reaped. PostgreSQL takes a zombie for a running server, for ever if process 1 is not a real init,
// as in many containers. Start waits for the orphans until ctx ends, and [unlock] resolves the
// zombie.
func Start(ctx context.Context, r process.Runner, spec process.Spec, adminURL string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if i := slices.Index(spec.Args, "-D"); i >= 0 && i+1 < len(spec.Args) {
			if err := unlock(spec.Args[i+1]); err != nil {
				return fmt.Errorf("start %s: %w", spec.Name, err)
			}
		}
		if _, err := r.Start(spec); err != nil {
			return err
		}
		err := r.AwaitReady(ctx, spec.Name, func(ctx context.Context) error { return Ping(ctx, adminURL) })
		if err == nil || !errors.Is(err, process.ErrEnded) || !lingering(err.Error()) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// lingering reports whether the log says that the previous server still exists.
func lingering(log string) bool {
	return strings.Contains(log, "pre-existing shared memory") || strings.Contains(log, `lock file "postmaster.pid" already exists`)
}

// unlock makes the next server accept the lock file of a server that has ended. It does not delete
// the file, because the file also names the shared memory, by which the next server makes sure that
// no child of the old one is left. It replaces the dead server's process id by that of this
// process, the next server's parent: PostgreSQL never takes its own parent for a rival.
func unlock(dataDir string) error {
	path := filepath.Join(dataDir, "postmaster.pid")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 || !process.Ended(pid) {
		return nil // the server itself decides then
	}
	// Truncated and written in place, so that owner and mode stay.
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600)
}
