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
// After a SIGKILL two things may stand in its way for a while: orphaned children
// of the old server that still hold its shared memory, and the old server itself
// as a zombie that nobody waits for, which PostgreSQL takes for a living server
// (for ever, where process 1 is no real init, as in many containers). The first
// is waited for, until ctx ends; the second is settled by [unlock].
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

// lingering recognises the server's words for "my predecessor is still there".
func lingering(log string) bool {
	return strings.Contains(log, "pre-existing shared memory") || strings.Contains(log, `lock file "postmaster.pid" already exists`)
}

// unlock makes the lock file of a server that has ended acceptable to the next
// one. It does not delete the file: that also names the shared memory, by
// which the next server makes sure that no child of the old one is left. It puts
// this process's id, the next server's parent, in place of the dead one's, and
// PostgreSQL never takes its own parent for a rival.
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
		return nil // the server has its own opinion on that
	}
	// Truncated and written in place, so that owner and mode stay.
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600)
}
