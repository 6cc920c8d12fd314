package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// exclusive prevents other shop commands from starting and stopping processes of the same stack at
// the same time. It waits for a command that is doing so, and then reads the state again. The
// kernel releases the lock when the process ends.
func (s *Stack) exclusive(ctx context.Context) (release func(), err error) {
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.State, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close() //nolint:errcheck // the first error counts
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !said {
			fmt.Fprintf(s.Out, "another shop command is at work in %s; waiting for it\n", s.State)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close() //nolint:errcheck // the first error counts
			return nil, fmt.Errorf("wait for another shop command in %s: %w", s.State, ctx.Err())
		}
	}
	if err := s.load(); err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return nil, err
	}
	return func() { f.Close() }, nil //nolint:errcheck // nothing was written; closing unlocks
}

// exclusiveFor is exclusive for a command about one process, which has to exist both before and
// after the wait for other commands.
func (s *Stack) exclusiveFor(ctx context.Context, name string) (release func(), err error) {
	if err := s.known(name); err != nil {
		return nil, err
	}
	if release, err = s.exclusive(ctx); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		release()
		return nil, err
	}
	return release, nil
}
