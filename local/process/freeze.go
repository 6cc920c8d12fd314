package process

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// freezeWithin bounds the wait for the kernel: a thread in a system call stops when the call ends.
const freezeWithin = 10 * time.Second

// Pause freezes the program with SIGSTOP. It returns when all threads have stopped: the signal
// itself is only a request. The error matches [ErrNotRunning].
func (r Runner) Pause(name string) error {
	return r.with(name, "pause", func(rec record) error {
		if err := r.signal(rec, syscall.SIGSTOP); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), freezeWithin)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			switch look(rec.PID, rec.Identity) {
			case frozen:
				return nil
			case absent:
				return ErrNotRunning
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("process %d still runs after SIGSTOP: %w", rec.PID, ctx.Err())
			}
		}
	})
}

// Resume continues the program with SIGCONT. The error matches [ErrNotRunning].
func (r Runner) Resume(name string) error {
	return r.with(name, "resume", func(rec record) error { return r.signal(rec, syscall.SIGCONT) })
}
