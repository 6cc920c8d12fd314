package stack

import (
	"context"
	"io"

	"eventshop.example/local/process"
)

// runner runs the processes of a stack. Its implementations are [programs] and [containers]. Names
// are those of [Stack.Processes].
type runner interface {
	// Status returns the present status of the named processes.
	Status(names []string) (map[string]process.Status, error)
	// Start starts a process that does not run and does not wait for it.
	Start(ctx context.Context, name string) error
	// AwaitReady repeats the probe until it returns nil. If the process ends meanwhile, the error
	// matches [process.ErrEnded] and has the end of its log.
	AwaitReady(ctx context.Context, name string, probe func(context.Context) error) error
	// Stop ends a process with its stop signal, and kills it if it does not end. A process that
	// does not run is no error.
	Stop(ctx context.Context, name string) error
	// Kill ends a process with SIGKILL. The errors of Kill, Pause and Resume match
	// [process.ErrNotRunning].
	Kill(ctx context.Context, name string) error
	Pause(name string) error
	Resume(name string) error
	// Forget removes everything that a removed process left.
	Forget(ctx context.Context, name string) error
	// Empty deletes the data of a process that does not run.
	Empty(ctx context.Context, name string) error
	// Logs writes the last lines of a process's log. With follow it continues until ctx ends. The
	// error matches [os.ErrNotExist] if there is no log.
	Logs(ctx context.Context, name string, out io.Writer, lines int, follow bool) error
}

// runs returns the runner of this stack's processes.
func (s *Stack) runs() runner {
	if s.file.Compose {
		return containers{s}
	}
	return programs{s, s.processes}
}
